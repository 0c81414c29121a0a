"""The first day: a list of what makes an empty installation useful, ticked by facts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from campaigns.admin import access
from campaigns.models import Campaign
from core.admin.permissions import WRITE_METHODS, require_permissions, staff_user
from core.mail import has_mail_server
from core.models import Dismissal, ShopProfile
from customers.models import Customer
from segments.admin.access import ADD_SEGMENT
from segments.models import Segment

HINT: Final = "first-day"
MAX_NAMES: Final = 3
MODEL_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True)
class Action:
    """A button that leads to a page, or with ``posts`` does the step at once."""

    label: str
    url: str
    posts: bool = False


@dataclass(frozen=True)
class Step:
    """One step. ``actions`` are those the person may use, the main one first; otherwise ``asks`` says who can."""

    title: str
    text: str
    is_done: bool
    actions: Sequence[Action] = ()
    asks: str = ""
    variant: str = "default"
    """Of its main button: the next step's is the primary one."""


@dataclass(frozen=True)
class FirstDay:
    """The steps. The list is open while the shop has no customers or no segments, and one line afterwards."""

    steps: Sequence[Step]
    following: str
    is_open: bool

    @property
    def done(self) -> int:
        return sum(step.is_done for step in self.steps)


def first_day(request: HttpRequest) -> FirstDay | None:
    """Return the list, or None once all is done or the person has put it away."""
    user = staff_user(request)
    if Dismissal.objects.filter(user=user, hint=HINT).exists():
        return None
    has_customers, has_segments = Customer.objects.exists(), Segment.objects.exists()
    steps = (
        _step(
            user,
            "Name the shop",
            "Its name, currency, time zone, postal address and logo.",
            ShopProfile.objects.exists(),
            ("core.change_shopprofile", "Shop settings", "core_shopprofile_changelist"),
        ),
        _step(
            user,
            "Bring in customers and orders",
            "Import a file of your shop system or newsletter service, as it is. Or let the shop's pages and server send"
            " what happens.",
            has_customers,
            ("customers.add_import", "Import a file", "customers_import_add"),
            ("customers.add_source", "Get the tracking snippet", "customers_source_add"),
            ("core.add_apikey", "Create an API key", "core_apikey_add"),
        ),
        _step(
            user,
            "Install the segments",
            "Sixteen ready-to-use groups, such as first-time buyers, loyal customers and full carts.",
            has_segments,
            (ADD_SEGMENT, "Install the segments", "segments_segment_install_templates"),
        ),
        _step(
            user,
            "Set up e-mail",
            "Check the sender, and send yourself a test.",
            has_mail_server(),
            ("core.change_shopprofile", "Check e-mail", "core_shopprofile_mail"),
        ),
        _step(
            user,
            "Invite your colleagues",
            "Each with a role: marketers run campaigns, viewers look.",
            User.objects.filter(is_active=True, is_staff=True).exclude(pk=user.pk).exists(),
            ("auth.add_user", "Invite a colleague", "auth_user_add"),
        ),
        _step(
            user,
            "Start a first campaign",
            "Choose a segment and one of the ready-made messages for it, such as a cart recovery.",
            Campaign.objects.exclude(state=Campaign.State.DRAFT).exists(),
            (access.ADD_CAMPAIGN, "Choose a campaign", "campaigns_campaign_add"),
        ),
    )
    if all(step.is_done for step in steps):
        return None
    following = next(step for step in steps if not step.is_done)
    marked = [replace(step, variant="primary") if step is following else step for step in steps]
    return FirstDay(marked, following.title, is_open=not (has_customers and has_segments))


@require_permissions(methods=WRITE_METHODS)
def dismiss_view(model_admin: object, request: HttpRequest) -> HttpResponse:
    """Put the list away for this person."""
    Dismissal.objects.get_or_create(user=staff_user(request), hint=HINT)
    messages.success(request, "The first steps are put away. All of their pages are in the menu.")
    return redirect("admin:index")


def _step(user: User, title: str, text: str, is_done: bool, *doors: tuple[str, str, str]) -> Step:
    """Return a step from its doors: the permission that each needs, its label and its page."""
    if is_done:
        return Step(title, text, is_done)
    actions = [
        Action(label, reverse(f"admin:{page}"), posts=page == "segments_segment_install_templates")
        for permission, label, page in doors
        if user.has_perm(permission)
    ]
    return Step(title, text, is_done, actions, "" if actions else _who_may(doors[0][0]))


def _who_may(permission: str) -> str:
    """Return whom to ask, by name."""
    people = User.objects.with_perm(permission, backend=MODEL_BACKEND).filter(is_active=True, is_staff=True)
    names = [
        person.get_full_name() or person.get_username() for person in people.order_by("pk")[: MAX_NAMES + 1]
    ]
    if not names:
        return "Nobody has the permission yet."
    listed = names[:MAX_NAMES]
    others = ["other colleagues"] if len(names) > MAX_NAMES else []
    *first, last = [*listed, *others]
    return f"{', '.join(first)} or {last} can do this." if first else f"{last} can do this."
