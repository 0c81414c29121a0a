"""The tracking sources' admin, with the sign-up form that a page of the shop shows by the key of a browser."""

from django.contrib import admin

from customers.admin import tracking_sources as base
from customers.models import Source

admin.site.unregister(Source)


@admin.register(Source)
class SourceAdmin(base.SourceAdmin):
    """The sources' admin, with the sign-up form."""

    change_form_outer_before_template = "campaigns/admin/source.html"
