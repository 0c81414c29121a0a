"""Links by which one of the staff chooses a password: for who was invited, and for who has forgotten theirs.

A link is signed, holds for ``PASSWORD_RESET_TIMEOUT``, and opens once: choosing a password ends it, and so does
logging in. Who is inactive chooses none.
"""

from datetime import timedelta
from smtplib import SMTPException
from typing import Final

import structlog
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from core.mail import has_mail_server

log = structlog.get_logger(__name__)

LINK_LIFETIME: Final = f"{timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT).days} days"


def assignable_roles(inviter: User) -> list[Group]:
    """Return the groups that somebody may invite to: none that may do more than they may themselves."""
    groups = Group.objects.order_by("name").prefetch_related("permissions__content_type")
    held = inviter.get_all_permissions()
    return [
        group
        for group in groups
        if inviter.is_superuser
        or all(f"{one.content_type.app_label}.{one.codename}" in held for one in group.permissions.all())
    ]


def password_link(user: User, request: HttpRequest) -> str:
    """Return a link by which somebody chooses a password, at the address that the request came to."""
    key = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("password_reset_confirm", args=[key, default_token_generator.make_token(user)])
    return request.build_absolute_uri(path)


def send_password_link(user: User, link: str, inviter: User) -> bool:
    """Send somebody their link; return whether it is on its way. Without a mail server nothing is sent."""
    if not user.email or not has_mail_server():
        return False
    context = {"person": user, "inviter": inviter, "link": link, "holds_for": LINK_LIFETIME}
    text = render_to_string("core/passwords/invitation.txt", context)
    try:
        send_mail(f"Your access to the segments of {settings.SHOP_NAME}", text, None, [user.email])
    except (OSError, SMTPException) as error:  # the server is away, or refuses
        log.warning("invitation_not_sent", error=repr(error))
        return False
    return True
