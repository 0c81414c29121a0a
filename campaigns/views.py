"""Public pages that messages link to: click redirects, unsubscribing and confirming. They need no login."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from core.shop import shop
from customers.tracking import double_opt_in
from customers.tracking.bots import is_bot

from . import unsubscription
from .links import signed_links
from .links.signed_links import ForeignLink, InvalidLink

# User agents of programs that open links before the customer reads the message.
LINK_SCANNERS: Final = (
    "barracuda",
    "googleimageproxy",
    "mimecast",
    "proofpoint",
    "safelinks",
    "symantec",
    "yahoomailproxy",
)
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the URL is secret
    "X-Robots-Tag": "noindex, nofollow",
}

View = Callable[..., HttpResponse]


def _with_private_headers(view: View) -> View:
    @wraps(view)
    def with_headers(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = view(request, **kwargs)
        for name, value in HEADERS.items():
            response[name] = value
        return response

    return with_headers


@_with_private_headers
@require_safe
def click(request: HttpRequest, signed: str = "") -> HttpResponse:
    """Redirect to the link's target, and count the click unless a program made it."""
    try:
        link = signed_links.verify_click(signed)
    except ForeignLink:
        return _foreign_link(request)
    except InvalidLink:
        return _incomplete_link(request)
    if _is_person(request):
        signed_links.record_click(link, datetime.now(UTC))
    return HttpResponseRedirect(link.url)


@_with_private_headers
@csrf_exempt  # mail programs post without cookies (RFC 8058); the signature identifies the customer
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, signed: str = "") -> HttpResponse:
    """Ask for confirmation on GET, unsubscribe on POST."""
    try:
        key = signed_links.verify_unsubscribe(signed)
    except InvalidLink:
        return _incomplete_link(request)
    if request.method == "POST":
        unsubscription.unsubscribe(key, datetime.now(UTC))
    if unsubscription.is_subscribed(key):
        return _page(request, "Unsubscribe", "Unsubscribe from our e-mails?", button="Unsubscribe")
    return _page(request, "You are unsubscribed", "You will get no more e-mails from us.")


@_with_private_headers
@csrf_exempt  # as above: the signature identifies the customer
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, signed: str = "") -> HttpResponse:
    """Ask for confirmation on GET, confirm the subscription on POST. Opening the link confirms nothing."""
    try:
        token = signed_links.verify_confirmation(signed)
    except InvalidLink:
        return _incomplete_link(request)
    now = datetime.now(UTC)
    confirmation = (
        double_opt_in.confirm_subscription(token, now)
        if request.method == "POST"
        else double_opt_in.confirmation_status(token, now)
    )
    name = shop().name
    match confirmation.state:
        case "open":
            text = f"Subscribe {confirmation.email} to the newsletter of {name}?"
            return _page(request, "Confirm your subscription", text, button="Yes, subscribe me")
        case "confirmed" | "used":
            return _page(
                request,
                "You are subscribed",
                f"{confirmation.email} gets the newsletter of {name} from now on.",
            )
    text = f"The link has expired, or you have unsubscribed since. Sign up again at {name}."
    return _page(request, "This link is no longer valid", text, status=410)


def _is_person(request: HttpRequest) -> bool:
    """Return False for prefetching, bots and link scanners."""
    agent = request.headers.get("User-Agent", "")
    purposes = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"))
    return (
        request.method == "GET"
        and not any("prefetch" in purpose or "preview" in purpose for purpose in purposes)
        and not is_bot(agent)
        and not any(scanner in agent.lower() for scanner in LINK_SCANNERS)
    )


def _incomplete_link(request: HttpRequest) -> HttpResponse:
    text = "Your mail program may have split it. Copy the whole link from the message."
    return _page(request, "This link is incomplete", text, status=404)


def _foreign_link(request: HttpRequest) -> HttpResponse:
    text = "It leads to a page outside the shop, so we did not open it."
    return _page(request, "This link leads to another site", text, status=404)


def _page(
    request: HttpRequest, title: str, text: str, *, button: str = "", status: int = 200
) -> HttpResponse:
    context = {"title": title, "text": text, "button": button}
    return render(request, "campaigns/page.html", context, status=status)
