"""The page that says how e-mails are sent, and sends the person who asks a test."""

import smtplib
import socket
import ssl
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.core.mail import EmailMessage
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from core.mail import has_mail_server, send
from core.shop import shop

from . import audit_log
from .permissions import READ_METHODS, WRITE_METHODS, require_permissions, staff_user

CHANGE_SHOP: Final = "core.change_shopprofile"


@require_permissions(CHANGE_SHOP, methods=READ_METHODS)
def mail_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    user = staff_user(request)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "E-mail",
        "opts": model_admin.opts,
        "has_server": has_mail_server(),
        "server": f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}" if _is_smtp() else "",
        "sender": shop().sender,
        "to": user.email,
        "may_edit_account": request.user.has_perm("auth.change_user"),
    }
    return TemplateResponse(request, "core/admin/mail.html", context)


@require_permissions(CHANGE_SHOP, methods=WRITE_METHODS)
def send_test_mail(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Send a test to the person's own address, never to another one, and say in plain words what came of it."""
    user = staff_user(request)
    if not has_mail_server():
        messages.error(request, "Nothing was sent, because no mail server is set.")
    elif not user.email:
        messages.error(request, "Nothing was sent, because your account has no e-mail address.")
    else:
        text = f"This is a test from {shop().name}. E-mails to customers come from the same address."
        error = send(EmailMessage(f"A test from {shop().name}", text, shop().sender, [user.email]))
        if error:
            messages.error(request, f"Nothing was sent. {error_text(error)}")
        else:
            audit_log.log_changes(request, [user], "Sent a test e-mail to this address.")
            messages.success(
                request,
                f"The mail server accepted the test for {user.email}. If it does not arrive within some minutes, look"
                " into the folder for spam.",
            )
    return redirect("admin:core_shopprofile_mail")


def error_text(error: Exception) -> str:
    """Return what an error of a mail server means, and what to do."""
    place = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    match error:
        case smtplib.SMTPAuthenticationError():
            return (
                f"The mail server refused the user name or the password. It said: {_said(error.smtp_error)}"
            )
        case smtplib.SMTPSenderRefused():
            return (
                f"The mail server does not let you send from {error.sender}. Change the sender in the settings of the"
                f" shop, or allow it at your provider. It said: {_said(error.smtp_error)}"
            )
        case smtplib.SMTPRecipientsRefused():
            answers = "; ".join(_said(text) for _, text in error.recipients.values())
            return f"The mail server does not accept your address. It said: {answers}"
        case smtplib.SMTPNotSupportedError():
            return f"The mail server at {place} does not encrypt, or wants no password: {error}"
        case smtplib.SMTPServerDisconnected():
            return (
                f"The mail server at {place} ended the connection. The port or the encryption may be wrong."
            )
        case smtplib.SMTPResponseException():
            return f"The mail server did not accept the message. It said: {_said(error.smtp_error)}"
        case socket.gaierror():
            return f"There is no host named {settings.EMAIL_HOST}. Its name may be misspelt."
        case ssl.SSLError():
            return (
                f"The connection to {place} could not be encrypted. The port or the encryption may be wrong."
            )
        case TimeoutError():
            return f"The mail server at {place} did not respond within {settings.EMAIL_TIMEOUT:g} seconds."
        case ConnectionError():
            return f"No mail server answers at {place}. The host or the port may be wrong."
    return f"{type(error).__name__}: {error}"


def _said(response: bytes | str) -> str:
    return response.decode(errors="replace") if isinstance(response, bytes) else response


def _is_smtp() -> bool:
    return bool(settings.EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend")
