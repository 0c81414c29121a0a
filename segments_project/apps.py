"""The admin, on a site of our own."""

from django.apps import AppConfig
from django.contrib.admin import apps
from django.core import checks


class StaffAdminConfig(apps.AdminConfig):
    """Django's admin, whose pages are masked for who may not see contact data."""

    default = False  # named in INSTALLED_APPS; the app of this package is another one
    default_site = "customers.privacy.admin_site.StaffSite"


class SegmentsProjectConfig(AppConfig):
    """The wiring: it installs the declared roles and schedules."""

    name = "segments_project"
    default = True

    def ready(self) -> None:
        """Check what is declared, and install it after each migration."""
        # Models must be loaded before.
        from core.staff.post_migrate import install_after_migrate  # noqa: PLC0415
        from core.staff.roles import check_roles  # noqa: PLC0415
        from core.staff.schedules import check_schedules  # noqa: PLC0415

        from .roles import ROLES  # noqa: PLC0415
        from .schedules import SCHEDULES  # noqa: PLC0415

        install_after_migrate(ROLES, SCHEDULES)
        checks.register(lambda **_: check_roles(ROLES))
        checks.register(lambda **_: check_schedules(SCHEDULES))
