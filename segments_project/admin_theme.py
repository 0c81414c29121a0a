"""The admin's theme: title, icon, styles and the sidebar (``UNFOLD`` in the settings)."""

from typing import Any, Final

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy

FAVICON: Final = "core/favicon.svg"


def _entry(title: str, icon: str, model: str) -> dict[str, Any]:
    """Return a sidebar entry for staff who may see the model's list."""
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


def _is_live_visitors(request: HttpRequest) -> bool:
    # This page is below the customers' URL.
    return request.path == reverse("admin:customers_customer_live")


def _is_segment_page(request: HttpRequest) -> bool:
    # The pages that campaigns add to a segment.
    return "/campaigns/campaign/segment/" in request.path


UNFOLD: Final = {
    "SITE_TITLE": "Segments",
    "SITE_HEADER": "Segments",
    "SITE_SYMBOL": "groups",
    "SITE_FAVICONS": [{"rel": "icon", "href": lambda request: static(FAVICON), "type": "image/svg+xml"}],
    "SITE_URL": None,  # there is no public site to link to
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "core.staff.login_throttling.LoginForm"},
    "DASHBOARD_CALLBACK": "campaigns.admin.home.page.home_context",
    "STYLES": [lambda request: static("core/admin.css")],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Shop",
                "items": [
                    _entry("Customers", "person", "customers.customer")
                    | {
                        "active": lambda request: (
                            "/customers/customer/" in request.path and not _is_live_visitors(request)
                        )
                    },
                    {
                        "title": "Live visitors",
                        "icon": "sensors",
                        "link": reverse_lazy("admin:customers_customer_live"),
                        "active": _is_live_visitors,
                        "permission": lambda request: request.user.has_perms(
                            ["customers.view_customer", "segments.view_segment"]
                        ),
                    },
                    _entry("Imports", "upload_file", "customers.import"),
                ],
            },
            {
                "title": "Segmentation",
                "items": [
                    _entry("Segments", "groups", "segments.segment")
                    | {
                        "active": lambda request: (
                            "/segments/segment/" in request.path or _is_segment_page(request)
                        )
                    },
                    _entry("Refreshes", "sync", "segments.refresh"),
                    _entry("Verifications", "verified", "segments.verification"),
                    _entry("Webhooks", "webhook", "segments.endpoint"),
                    _entry("Webhook messages", "outbox", "segments.message"),
                    _entry("Schedules", "schedule", "django_celery_beat.periodictask"),
                ],
            },
            {
                "title": "Campaigns",
                "items": [
                    _entry("Campaigns", "campaign", "campaigns.campaign")
                    | {
                        "active": lambda request: (
                            "/campaigns/campaign/" in request.path and not _is_segment_page(request)
                        )
                    },
                    _entry("Coupons", "confirmation_number", "campaigns.couponpool"),
                    _entry("Suppressions", "unsubscribe", "customers.suppression"),
                ],
            },
            {
                "title": "Administration",
                "items": [
                    _entry("Shop settings", "storefront", "core.shopprofile"),
                    _entry("Staff", "badge", "auth.user"),
                    _entry("Groups", "group_work", "auth.group"),
                    _entry("API keys", "key", "core.apikey"),
                    _entry("Tracking sources", "stream", "customers.source"),
                    _entry("Refused messages", "report", "customers.refusedmessage"),
                    _entry("Identity conflicts", "call_split", "customers.identitylink"),
                    _entry("Activity", "history", "admin.logentry"),
                    _entry("Erasures", "person_off", "customers.erasure"),
                    _entry("Failed logins", "lock", "axes.accessattempt"),
                ],
            },
        ],
    },
}
