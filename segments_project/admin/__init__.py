"""The admin of what others' apps bring, in the admin's own looks: staff, schedules, the trail, failed logins."""

from django.contrib import admin

from . import activity, logins, schedules, staff

__all__ = ["activity", "logins", "schedules", "staff"]

admin.site.index_title = "Overview"
admin.site.index_template = "segments/admin/index.html"
