"""The admin's index page, its schedules, and the settings of the shop."""

from django.contrib import admin

from . import schedules, shop_settings

__all__ = ["schedules", "shop_settings"]

admin.site.index_title = "Overview"
admin.site.index_template = "campaigns/admin/home/page.html"
