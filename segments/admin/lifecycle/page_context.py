"""The template context that the pages of the lifecycle share."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from customers.admin import contact_data
from segments import disclosure
from segments.admin.access import VIEW_CUSTOMER
from segments.admin.page_context import admin_context
from segments.rules import RuleError, parse
from segments.stages import Stage

TABS = (("stages", "Stages", "lifecycle"), ("flow", "Flow", "flow"), ("retention", "Retention", "retention"))


def may_list(request: HttpRequest, asked: Sequence[Stage]) -> bool:
    """Return whether the user may see who was in the stages on days of their choice."""
    if not request.user.has_perm(VIEW_CUSTOMER):
        return False
    try:
        return contact_data.may_see(request) or not any(
            disclosure.changes_reveal_contact_data(parse(stage.rule)) for stage in asked
        )
    except RuleError:
        return True  # nobody is listed by an invalid rule


def lifecycle_context(model_admin: Any, request: HttpRequest, tab: str, heading: str) -> dict[str, Any]:
    """Return the admin's own context, the heading and the tabs."""
    return admin_context(model_admin, request, "Lifecycle") | {
        # The breadcrumbs begin with the section, not with the list of segments.
        "opts": None,
        "model_admin": model_admin,
        "heading": heading,
        "tabs": [(name, reverse(f"admin:segments_segment_{view}"), key == tab) for key, name, view in TABS],
    }
