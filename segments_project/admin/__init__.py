"""The admin's index page and its schedules."""

from django.contrib import admin

from . import schedules

__all__ = ["schedules"]

admin.site.index_title = "Overview"
admin.site.index_template = "campaigns/admin/home.html"
