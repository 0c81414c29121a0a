"""The admin's theme: title, icon, styles and the sidebar (``UNFOLD`` in the settings)."""

from typing import Any, Final

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy

FAVICON: Final = "core/favicon.svg"


def _entry(
    title: str, icon: str, model: str, description: str, words: str = "", covers: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return a sidebar entry for staff who may see the model's list.

    The search finds it also by ``words``. Lists that it ``covers`` have no entry of their own.
    """
    return _page(title, icon, f"{model}_changelist", description, words, _permission(model, "view")) | {
        "covers": [_list_url(one) for one in covers]
    }


def _task(title: str, icon: str, model: str, description: str, words: str = "") -> dict[str, Any]:
    """Return a form that the search finds for staff who may add to the model."""
    return _page(title, icon, f"{model}_add", description, words, _permission(model, "add"))


def _page(
    title: str, icon: str, view: str, description: str, words: str, *permissions: str
) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{view.replace('.', '_')}"),
        "description": description,
        "words": words,
        "permission": lambda request: request.user.has_perms(permissions),
    }


def _permission(model: str, action: str) -> str:
    app, _, name = model.partition(".")
    return f"{app}.{action}_{name}"


def _list_url(model: str) -> Any:
    return reverse_lazy(f"admin:{model.replace('.', '_')}_changelist")


def _is_lifecycle(request: HttpRequest) -> bool:
    return "/segments/segment/lifecycle/" in request.path


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
    "STYLES": [
        lambda request: static("core/admin.css"),
        lambda request: static("core/search.css"),
        lambda request: static("segments/workplace.css"),
    ],
    "SCRIPTS": [lambda request: static("core/search.js")],
    "SIDEBAR": {
        "show_search": False,  # our own search is in the header
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Shop",
                "items": [
                    _entry(
                        "Customers",
                        "person",
                        "customers.customer",
                        "Everybody who bought from the shop or visited it.",
                        "people contacts profiles subscribers buyers",
                    )
                    | {
                        "active": lambda request: (
                            "/customers/customer/" in request.path and not _is_live_visitors(request)
                        )
                    },
                    _page(
                        "Live visitors",
                        "sensors",
                        "customers_customer_live",
                        "Who is on the shop's pages now.",
                        "online now traffic",
                        "customers.view_customer",
                        "segments.view_segment",
                    )
                    | {"active": _is_live_visitors},
                    _entry(
                        "Imports",
                        "upload_file",
                        "customers.import",
                        "Files of customers, orders and events.",
                        "upload csv excel spreadsheet",
                    ),
                    _entry(
                        "Shop settings",
                        "storefront",
                        "core.shopprofile",
                        "The shop's name, currency, time zone, address, logo and sender.",
                        "configuration preferences currency timezone sender logo",
                    ),
                ],
            },
            {
                "title": "Segments",
                "items": [
                    _entry(
                        "Segments",
                        "groups",
                        "segments.segment",
                        "Groups of customers, by rules or as fixed lists.",
                        "lists audiences rules groups",
                    )
                    | {
                        "active": lambda request: (
                            ("/segments/segment/" in request.path or _is_segment_page(request))
                            and not _is_lifecycle(request)
                        )
                    },
                    _page(
                        "Lifecycle",
                        "conversion_path",
                        "segments_segment_lifecycle",
                        "The stages of customers, who went from which to which, and who comes back.",
                        "stages flow sankey retention cohorts funnel churn",
                        "segments.view_segment",
                    )
                    | {"active": _is_lifecycle},
                ],
            },
            {
                "title": "Campaigns",
                "items": [
                    _entry(
                        "Campaigns",
                        "campaign",
                        "campaigns.campaign",
                        "Messages to the members of a segment.",
                        "flows automations newsletters emails journeys",
                    )
                    | {
                        "active": lambda request: (
                            "/campaigns/campaign/" in request.path and not _is_segment_page(request)
                        )
                    },
                    _entry(
                        "Coupons",
                        "confirmation_number",
                        "campaigns.couponpool",
                        "Pools of codes that campaigns give to customers.",
                        "discounts vouchers codes",
                    ),
                    _entry(
                        "Suppressions",
                        "unsubscribe",
                        "customers.suppression",
                        "E-mail addresses that get no message.",
                        "bounces complaints blocked unsubscribed",
                    ),
                ],
            },
            {
                "title": "Team",
                "items": [
                    _entry(
                        "Staff",
                        "badge",
                        "auth.user",
                        "Who may log in, and with which role.",
                        "people users colleagues accounts team",
                    ),
                    _entry(
                        "Roles",
                        "group_work",
                        "auth.group",
                        "What each role may do.",
                        "groups permissions rights",
                    ),
                    _entry(
                        "Activity",
                        "history",
                        "admin.logentry",
                        "What staff added, changed and deleted.",
                        "audit log history",
                    ),
                ],
            },
            {
                "title": "System",
                "items": [
                    _entry(
                        "Refreshes",
                        "sync",
                        "segments.refresh",
                        "When the members of segments were updated, and how long it took.",
                    ),
                    _entry(
                        "Verifications",
                        "verified",
                        "segments.verification",
                        "Whether the members of segments are exact.",
                    ),
                    _entry(
                        "Schedules",
                        "schedule",
                        "django_celery_beat.periodictask",
                        "What runs by itself, and when.",
                        "cron jobs tasks",
                        covers=(
                            "django_celery_beat.intervalschedule",
                            "django_celery_beat.crontabschedule",
                            "django_celery_beat.solarschedule",
                            "django_celery_beat.clockedschedule",
                        ),
                    ),
                    _entry(
                        "Webhooks",
                        "webhook",
                        "segments.endpoint",
                        "Other systems that are told who enters and leaves.",
                        "integrations",
                    ),
                    _entry(
                        "Webhook messages",
                        "outbox",
                        "segments.message",
                        "What was sent to webhooks, and their responses.",
                    ),
                    _entry(
                        "API keys",
                        "key",
                        "core.apikey",
                        "Keys with which other systems use the API.",
                        "tokens integrations",
                    ),
                    _entry(
                        "Tracking sources",
                        "stream",
                        "customers.source",
                        "Shops and servers that send events, with their keys.",
                        "snippet javascript sdk segment rudderstack",
                    ),
                    _entry(
                        "Refused messages",
                        "report",
                        "customers.refusedmessage",
                        "Tracked messages that could not be stored.",
                        "errors",
                    ),
                    _entry(
                        "Identity conflicts",
                        "call_split",
                        "customers.identitylink",
                        "Ids that could belong to two customers.",
                        "merges duplicates",
                    ),
                    _entry(
                        "Erasures",
                        "person_off",
                        "customers.erasure",
                        "Customers whose data was erased.",
                        "privacy gdpr delete",
                    ),
                    _entry(
                        "Failed logins",
                        "lock",
                        "axes.accessattempt",
                        "Who was locked out after wrong passwords.",
                        "lockout unlock security",
                    ),
                ],
            },
        ],
    },
}

# What the search finds besides the entries of the sidebar.
ADMIN_TASKS: Final = (
    _task("New segment", "add", "segments.segment", "Build a segment with rules.", "add create"),
    _task("New campaign", "add", "campaigns.campaign", "Write to the members of a segment.", "add create"),
    _task("Import a file", "add", "customers.import", "Bring in customers, orders or events.", "add upload"),
    _task("Invite a colleague", "add", "auth.user", "Send a link to log in.", "add create user staff"),
    _page("Change password", "password", "password_change", "Of your own account.", ""),
)
