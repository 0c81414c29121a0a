"""Links with which staff choose a password, after an invitation or when they forgot theirs.

A link is signed and valid for ``PASSWORD_RESET_TIMEOUT``. It ends when a password is chosen or the user logs in, and
does not work for inactive users.
"""

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMessage
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from core.mail import has_mail_server, send
from core.shop import shop

LINK_AGE: Final = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
LINK_LIFETIME: Final = f"{LINK_AGE.days} days"


def password_link(user: User, request: HttpRequest) -> str:
    """Return a link to choose a password, with the host of the request."""
    key = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("password_reset_confirm", args=[key, default_token_generator.make_token(user)])
    return request.build_absolute_uri(path)


def send_password_link(user: User, link: str, inviter: User) -> bool:
    """Send the link by e-mail. Return False if it was not sent, for example without a mail server."""
    if not user.email or not has_mail_server():
        return False
    context = {"person": user, "inviter": inviter, "link": link, "link_lifetime": LINK_LIFETIME}
    text = render_to_string("core/passwords/invitation.txt", context)
    subject = f"Your access to the segments of {shop().name}"
    return send(EmailMessage(subject, text, shop().sender, [user.email])) is None
