"""The admin's first page, and the schedules with what the code declares of them."""

from django.contrib import admin

from . import schedules

__all__ = ["schedules"]

admin.site.index_title = "Overview"
admin.site.index_template = "segments/admin/index.html"
