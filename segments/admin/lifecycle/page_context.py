"""The template context that the pages of the lifecycle share."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from segments.admin.page_context import admin_context

TABS = (("stages", "Stages", "lifecycle"), ("flow", "Flow", "flow"), ("retention", "Retention", "retention"))


def lifecycle_context(model_admin: Any, request: HttpRequest, tab: str, heading: str) -> dict[str, Any]:
    """Return the admin's own context, the heading and the tabs."""
    return admin_context(model_admin, request, "Lifecycle") | {
        # The breadcrumbs begin with the section, not with the list of segments.
        "opts": None,
        "model_admin": model_admin,
        "heading": heading,
        "tabs": [(name, reverse(f"admin:segments_segment_{view}"), key == tab) for key, name, view in TABS],
    }
