"""Error pages for people, with the reason and a way back. They do not query the database, which may be unavailable."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse

from core.shop import last_known_shop

FORM_EXPIRED: Final = (
    "This form has expired",
    "Nothing was changed. Reload the page and send the form again. Your browser must allow cookies.",
)
TEXTS: Final = {
    400: (
        "This address is not valid",
        "It contains something that the page does not understand, such as a filter that the list does not have.",
    ),
    403: ("You do not have permission to see this", "An administrator can give you the permission."),
    404: ("This page does not exist", "It was deleted, or the address is wrong."),
    500: (
        "Something went wrong",
        "The error was logged for the people who run this installation. Wait a moment and try again.",
    ),
    503: (
        "The database is not available",
        "It does not respond, or it is busy. Nothing that you saved is lost. Try again in a few seconds.",
    ),
}


def error_page(request: HttpRequest, status: int, texts: tuple[str, str] | None = None) -> HttpResponse:
    """Return the page for a status. ``texts`` replace its title and text."""
    title, text = texts or TEXTS[status]
    shop = last_known_shop()
    is_of_staff = request.path_info.startswith("/admin")
    page = render_to_string(
        "core/error.html",
        {
            "status": status,
            "title": title,
            "text": text,
            "back": reverse("admin:index") if is_of_staff else shop.url,
            "back_to": "To the overview" if is_of_staff else f"To {shop.name}",
            "again": request.get_full_path() if status >= 500 and request.method == "GET" else "",
        },
    )
    return HttpResponse(page, status=status)
