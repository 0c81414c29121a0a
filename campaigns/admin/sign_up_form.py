"""The admin of tracking sources, with the script of the newsletter form for the shop's pages."""

from django.contrib import admin

from customers.admin import tracking_sources as base
from customers.models import Source

admin.site.unregister(Source)


@admin.register(Source)
class SourceAdmin(base.SourceAdmin):
    change_form_outer_before_template = "campaigns/admin/source.html"
