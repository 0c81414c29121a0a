"""The sections of the admin and their pages, declared once (``UNFOLD`` in the settings) for the sidebar, breadcrumbs,
the pages of the sections, and the search.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import slugify

from core import search


@dataclass(frozen=True)
class Page:
    """An entry of the sidebar, or something that staff do."""

    title: str
    icon: str
    url: str
    description: str
    words: str = ""
    """Other words that staff may search for."""


@dataclass(frozen=True)
class Section:
    title: str
    pages: list[Page]

    @property
    def url(self) -> str:
        return reverse("admin:section", args=[slugify(self.title)])


def sections(request: HttpRequest) -> list[Section]:
    """Return the sections with pages that the user may open."""
    found = [Section(group["title"], list(_pages(request, group["items"]))) for group in _groups()]
    return [section for section in found if section.pages]


def section_of(url: str) -> str:
    """Return the title of the section of a list's URL, or an empty text."""
    for group in _groups():
        for item in group["items"]:
            if url in (str(item["link"]), *map(str, item.get("covers", ()))):
                return str(group["title"])
    return ""


def section_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what the pages of a section are for."""
    if slug not in {slugify(group["title"]) for group in _groups()}:
        raise Http404
    for section in sections(request):
        if slugify(section.title) == slug:
            context = {**admin.site.each_context(request), "title": section.title, "section": section}
            return TemplateResponse(request, "core/admin/section.html", context)
    raise PermissionDenied


def find_pages(request: HttpRequest, term: str) -> Iterator[search.Results]:
    pages = [page for section in sections(request) for page in section.pages]
    pages += _pages(request, settings.ADMIN_TASKS)
    found = search.best_matches(pages, term, lambda page: (page.title, page.description, page.words))
    yield search.Results(
        "Pages", "description", [search.Result(page.title, page.url, page.description) for page in found]
    )


def _groups() -> list[dict[str, Any]]:
    unfold: dict[str, Any] = settings.UNFOLD
    groups: list[dict[str, Any]] = unfold["SIDEBAR"]["navigation"]
    return groups


def _pages(request: HttpRequest, items: Any) -> Iterator[Page]:
    for item in items:
        if item["permission"](request):
            yield Page(
                item["title"], item["icon"], str(item["link"]), item["description"], item.get("words", "")
            )
