"""The admin site, and the installation of roles and schedules."""

from django.apps import AppConfig
from django.contrib.admin import apps
from django.core import checks


class StaffAdminConfig(apps.AdminConfig):
    """Django's admin with a site that masks contact data for staff who may not see it."""

    default = False  # INSTALLED_APPS names it; the default app of this package is SegmentsProjectConfig
    default_site = "customers.privacy.admin_site.StaffSite"


class SegmentsProjectConfig(AppConfig):
    name = "segments_project"
    default = True

    def ready(self) -> None:
        # Imported here because models must be loaded first.
        from core.staff.post_migrate import install_after_migrate  # noqa: PLC0415
        from core.staff.roles import check_roles  # noqa: PLC0415
        from core.staff.schedules import check_schedules  # noqa: PLC0415

        from .roles import ROLES  # noqa: PLC0415
        from .schedules import SCHEDULES  # noqa: PLC0415

        install_after_migrate(ROLES, SCHEDULES)
        checks.register(lambda **_: check_roles(ROLES))
        checks.register(lambda **_: check_schedules(SCHEDULES))
