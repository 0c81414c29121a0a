"""Lockout after too many failed logins. django-axes counts them."""

from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.forms import AuthenticationForm

from core.http.client_ip import client_ip


def time_until_unlocked(username: str, address: str | None, at: datetime) -> timedelta:
    """Return how long a person must wait until the next login; zero if not at all."""
    attempts = AccessAttempt.objects.filter(username=username, ip_address=address).order_by()
    found = attempts.aggregate(failures=Sum("failures_since_start"), latest=Max("attempt_time"))
    if (found["failures"] or 0) < settings.AXES_FAILURE_LIMIT:
        return timedelta()
    until: datetime = found["latest"] + settings.AXES_COOLOFF_TIME
    return max(until - at, timedelta())


def minutes_text(time: timedelta) -> str:
    """Return a duration in minutes, rounded up."""
    minutes = -(-int(time.total_seconds()) // 60) or 1
    return f"{minutes} minute" if minutes == 1 else f"{minutes} minutes"


class LoginForm(AuthenticationForm):  # type: ignore[misc]  # the framework carries no types
    """The login form. It says how long to wait after too many failures."""

    def get_invalid_login_error(self) -> ValidationError:
        if not getattr(self.request, "axes_locked_out", False):
            error: ValidationError = super().get_invalid_login_error()
            return error
        wait = time_until_unlocked(self.cleaned_data["username"], client_ip(self.request), timezone.now())
        return ValidationError(
            f"Too many failed logins. Try again in {minutes_text(wait)}, or ask an administrator to unlock you.",
            code="locked",
        )


def lockout_response(
    request: HttpRequest, response: HttpResponse, credentials: dict[str, Any]
) -> HttpResponse:
    """Return the login page with status 429 and ``Retry-After``."""
    wait = time_until_unlocked(credentials.get("username", ""), client_ip(request), timezone.now())
    response.status_code = 429
    response["Retry-After"] = str(max(1, round(wait.total_seconds())))
    return response
