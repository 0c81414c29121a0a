"""The pages on which staff request a link and choose a password."""

from datetime import UTC, datetime
from threading import Thread
from typing import Any, Final

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import views
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from unfold.widgets import INPUT_CLASSES

from core import rate_limits
from core.http.client_ip import client_ip
from core.mail import has_mail_server
from core.shop import shop

from .invitations import LINK_LIFETIME

TEMPLATES: Final = "core/passwords"
MAX_RESETS_PER_MINUTE: Final = 5
"""From one IP address."""


class ForgottenPasswordForm(PasswordResetForm):
    """Asks for the e-mail address. Neither the response nor its timing reveals whether the account exists."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "E-mail address"
        self.fields["email"].widget.attrs["class"] = " ".join(INPUT_CLASSES)

    def get_users(self, email: str) -> Any:
        """Return active staff with this address and a password."""
        return (user for user in super().get_users(email) if user.is_staff)

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send in a thread, so that the response does not wait."""
        Thread(target=super().send_mail, args=args, kwargs=kwargs).start()


class ChoosePasswordForm(SetPasswordForm):  # type: ignore[type-arg]  # the form takes none when it runs
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = " ".join(INPUT_CLASSES)


class _AdminContextMixin:
    """Adds the context of the admin's login page."""

    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {**admin.site.each_context(self.request), **context, "link_lifetime": LINK_LIFETIME}


class ForgottenPasswordView(_AdminContextMixin, views.PasswordResetView):
    form_class = ForgottenPasswordForm
    template_name = f"{TEMPLATES}/forgotten.html"
    email_template_name = f"{TEMPLATES}/forgotten.txt"
    subject_template_name = f"{TEMPLATES}/forgotten_subject.txt"
    success_url = reverse_lazy("password_reset_done")
    title = "Forgotten password"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, has_mail_server=has_mail_server())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Limit the requests of an IP address."""
        caller = f"password resets:{client_ip(request)}"
        if wait := rate_limits.throttle(caller, MAX_RESETS_PER_MINUTE, datetime.now(UTC)):
            response = self.render_to_response(self.get_context_data(form=self.form_class(), wait=wait))
            response.status_code, response["Retry-After"] = 429, str(wait)
            return response
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Send the link with ``PUBLIC_URL``: anybody can forge the host of the request."""
        self.from_email = shop().sender
        self.extra_email_context = {"root": settings.PUBLIC_URL, "link_lifetime": LINK_LIFETIME}
        return super().form_valid(form)


class ResetLinkSentView(_AdminContextMixin, views.PasswordResetDoneView):
    """Shows the same text whether the account exists or not."""

    template_name = f"{TEMPLATES}/sent.html"
    title = "Check your inbox"


class ChoosePasswordView(_AdminContextMixin, views.PasswordResetConfirmView):
    """Lets the owner of a link choose a password, once."""

    form_class = ChoosePasswordForm
    template_name = f"{TEMPLATES}/choose.html"
    success_url = reverse_lazy("admin:login")
    title = "Choose a password"

    def get_user(self, uidb64: str) -> User | None:
        """Return the user of the link if they are active staff."""
        user = super().get_user(uidb64)
        return user if isinstance(user, User) and user.is_active and user.is_staff else None

    def form_valid(self, form: Any) -> HttpResponse:
        """Save the password, and end a lockout."""
        response = super().form_valid(form)
        AccessAttempt.objects.filter(
            username=form.user.get_username(), ip_address=client_ip(self.request)
        ).delete()
        messages.success(self.request, "Your password was saved. You can log in now.")
        return response
