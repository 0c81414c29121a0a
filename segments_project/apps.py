"""The admin, on a site of our own."""

from django.contrib.admin import apps


class StaffAdminConfig(apps.AdminConfig):
    """Django's admin, whose pages are masked for who may not see contact data."""

    default = False  # named in INSTALLED_APPS; the app of this package is another one
    default_site = "customers.staff_site.StaffSite"
