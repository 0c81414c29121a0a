"""Test messages: a message as a customer would get it, sent to the person who asks for it."""

from dataclasses import dataclass

from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest

from campaigns.messages.rendering import Preview
from campaigns.models import Campaign
from core.admin import audit_log
from core.admin.permissions import staff_user
from core.mail import send
from core.shop import shop


@dataclass(frozen=True)
class SelfTest:
    """Whether a test message was sent, and a sentence about it."""

    is_sent: bool
    text: str


def send_to_oneself(request: HttpRequest, campaign: Campaign, preview: Preview, what: str) -> SelfTest:
    """Send a message to the address of the user, and nobody else. ``what`` names it in the activity log."""
    to = staff_user(request).email
    if not to:
        return SelfTest(False, "Your account has no e-mail address. Ask an administrator to add it.")
    if preview.message is None:
        return SelfTest(False, f"Nothing was sent: {' '.join(preview.problems)}")
    subject = f"Test: {' '.join(preview.message.subject.split()) or campaign.name}"
    mail = EmailMultiAlternatives(subject, preview.message.text, shop().sender, [to])
    if preview.message.html:
        mail.attach_alternative(preview.message.html, "text/html")
    if send(mail):
        return SelfTest(False, "The mail server did not accept the message. The server's log says why.")
    audit_log.log_changes(request, [campaign], f"Sent {what} as a test to their own address.")
    return SelfTest(True, f"The message was sent to {to}.")
