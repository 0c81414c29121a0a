"""The pages on which staff ask for a new password, and choose one by the link that they were sent or given."""

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

from .invitations import LINK_LIFETIME

TEMPLATES: Final = "core/passwords"
MAX_RESETS_PER_MINUTE: Final = 5
"""From one address."""


class ForgottenPasswordForm(PasswordResetForm):
    """The address of the account. Whether there is one is told to nobody, also not by the time that it takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "E-mail address"
        self.fields["email"].widget.attrs["class"] = " ".join(INPUT_CLASSES)

    def get_users(self, email: str) -> Any:
        """Return those of the staff who have the address, and a password."""
        return (user for user in super().get_users(email) if user.is_staff)

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send while the answer is on its way already."""
        Thread(target=super().send_mail, args=args, kwargs=kwargs).start()


class ChoosePasswordForm(SetPasswordForm):  # type: ignore[type-arg]  # the form takes none when it runs
    """A new password, twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = " ".join(INPUT_CLASSES)


class _AdminContextMixin:
    """In the looks of the login page."""

    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what the layout shows."""
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {**admin.site.each_context(self.request), **context, "holds_for": LINK_LIFETIME}


class ForgottenPasswordView(_AdminContextMixin, views.PasswordResetView):
    """Asks for the address of an account."""

    form_class = ForgottenPasswordForm
    template_name = f"{TEMPLATES}/forgotten.html"
    email_template_name = f"{TEMPLATES}/forgotten.txt"
    subject_template_name = f"{TEMPLATES}/forgotten_subject.txt"
    success_url = reverse_lazy("password_reset_done")
    title = "Forgotten password"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Tell the page whether a link can be sent at all."""
        return super().get_context_data(**kwargs, has_mail_server=has_mail_server())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take an address; who asks for many waits."""
        who = f"password resets:{client_ip(request)}"
        if wait := rate_limits.throttle(who, MAX_RESETS_PER_MINUTE, datetime.now(UTC)):
            response = self.render_to_response(self.get_context_data(form=self.form_class(), wait=wait))
            response.status_code, response["Retry-After"] = 429, str(wait)
            return response
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Send the link with the address of this installation: that of the request is whatever its sender wrote."""
        self.extra_email_context = {"root": settings.PUBLIC_URL, "holds_for": LINK_LIFETIME}
        return super().form_valid(form)


class ResetLinkSentView(_AdminContextMixin, views.PasswordResetDoneView):
    """Says what comes next, whether there is such an account or not."""

    template_name = f"{TEMPLATES}/sent.html"
    title = "Look into your inbox"


class ChoosePasswordView(_AdminContextMixin, views.PasswordResetConfirmView):
    """Lets who follows a link choose a password, once."""

    form_class = ChoosePasswordForm
    template_name = f"{TEMPLATES}/choose.html"
    success_url = reverse_lazy("admin:login")
    title = "Choose a password"

    def get_user(self, uidb64: str) -> User | None:
        """Find who the link is for; who is inactive comes in by no link."""
        user = super().get_user(uidb64)
        return user if isinstance(user, User) and user.is_active and user.is_staff else None

    def form_valid(self, form: Any) -> HttpResponse:
        """Keep the password; who has failed to log in before does not wait any longer."""
        response = super().form_valid(form)
        AccessAttempt.objects.filter(
            username=form.user.get_username(), ip_address=client_ip(self.request)
        ).delete()
        messages.success(self.request, "Your password is set. Log in with it.")
        return response
