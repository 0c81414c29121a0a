"""Breadcrumbs that begin with the section of the sidebar."""

from typing import Any

from django import template
from django.urls import reverse
from django.utils.text import slugify

from core.navigation import section_of

register = template.Library()


@register.filter
def in_section(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the parts of a breadcrumb with the section of the list in place of the app."""
    if len(parts) > 1 and (title := section_of(str(parts[1].get("link", "")))):
        return [{"title": title, "link": reverse("admin:section", args=[slugify(title)])}, *parts[1:]]
    return parts
