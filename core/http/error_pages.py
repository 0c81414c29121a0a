"""What people see when a page cannot be shown: why, and a way back. The database is not asked: it may be away."""

from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse

FORM_EXPIRED: Final = (
    "This form has expired",
    "Nothing was changed. Load the page again, and send the form once more; cookies must be allowed.",
)
TEXTS: Final = {
    400: (
        "This address cannot be read",
        "Something in it is none of what the page takes, such as a filter that the list does not have.",
    ),
    403: ("You may not see this", "Your role lacks the permission. An administrator can give it to you."),
    404: ("There is nothing here", "It was deleted, or the address is not quite right."),
    500: (
        "Something went wrong here",
        "It was logged, so whoever runs this installation can find out why. Wait a moment, and try again.",
    ),
    503: (
        "The database is away",
        "It does not answer right now, or is busy. Nothing that was saved is lost. Please try again in some seconds.",
    ),
}


def error_page(request: HttpRequest, status: int, texts: tuple[str, str] | None = None) -> HttpResponse:
    """Return the page for a status, with texts of its own where they are given."""
    title, text = texts or TEXTS[status]
    is_of_staff = request.path_info.startswith("/admin")
    page = render_to_string(
        "core/error.html",
        {
            "status": status,
            "title": title,
            "text": text,
            "back": reverse("admin:index") if is_of_staff else settings.SHOP_URL,
            "back_to": "To the overview" if is_of_staff else f"To {settings.SHOP_NAME}",
            "again": request.get_full_path() if status >= 500 and request.method == "GET" else "",
        },
    )
    return HttpResponse(page, status=status)
