"""Failed logins: who is locked out, and unlocking them."""

from axes.models import AccessAttempt
from django.apps import apps
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from core.staff import login_throttling
from core.templatetags.display import moment

from . import audit_log
from .capped_lists import ReadOnlyAdmin
from .display_names import DisplayNameAdmin

apps.get_app_config("axes").verbose_name = "Administration"


@admin.register(AccessAttempt)
class FailedLoginAdmin(DisplayNameAdmin, ReadOnlyAdmin):
    """Failed logins. django-axes deletes old ones when somebody logs in."""

    display_names = ("failed login", "failed logins")
    list_display = ("who", "ip_address", "failures", "latest", "state")
    list_display_links = None
    list_before_template = "core/admin/no_failed_logins.html"
    actions = ("unlock",)

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")

    @admin.action(description="Unlock", permissions=["unlock"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        """Delete the failures of all browsers with the same user name and address."""
        for name, address in set(queryset.values_list("username", "ip_address")):
            attempts = AccessAttempt.objects.filter(username=name, ip_address=address)
            audit_log.log_deletions(request, attempts[:1], f"Unlocked {name} at {address}.")
            attempts.delete()
            messages.success(request, f"{name} can log in from {address} again.")

    @display(description="User name")
    def who(self, attempt: AccessAttempt) -> str:
        return attempt.username or "–"

    @display(description="Failures")
    def failures(self, attempt: AccessAttempt) -> int:
        return attempt.failures_since_start

    @display(description="Latest")
    def latest(self, attempt: AccessAttempt) -> str:
        return moment(attempt.attempt_time)

    @display(description="State", label={"locked": "danger", "may try again": "info"})
    def state(self, attempt: AccessAttempt) -> tuple[str, str]:
        wait = login_throttling.time_until_unlocked(attempt.username, attempt.ip_address, timezone.now())
        if not wait:
            return "may try again", "may try again"
        return "locked", f"locked for {login_throttling.minutes_text(wait)}"
