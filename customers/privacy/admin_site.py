"""The admin site. Every page of staff goes through it and is masked for those who may not see contact data."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite

from core import navigation, search

from . import masks


class StaffSite(UnfoldAdminSite):  # type: ignore[misc]  # the framework carries no types
    """Django's admin site, with contact data masked for those who may not see it."""

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Mask the response of a view."""
        guarded = super().admin_view(view, cacheable)

        @wraps(guarded)
        def masked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return _masked(request, guarded(request, *args, **kwargs))

        return masked

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Find customers, orders, segments, campaigns and pages that the user may see."""
        groups = search.find(request, request.GET.get("s", ""), navigation.find_pages)
        context = {
            "groups": groups,
            "count": sum(len(group.results) for group in groups),
            "incomplete": any(not group.is_complete for group in groups),
        }
        return TemplateResponse(request, "core/admin/search_results.html", context)

    def extra_urls(self) -> list[URLPattern]:
        """Add the pages of the sections of the sidebar."""
        return [path("section/<slug:slug>/", self.admin_view(navigation.section_page), name="section")]

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the first page: sections take the place of the pages of apps."""
        return redirect("admin:index")

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """Refuse. No form uses it, and it would show rows of any table to staff who may see that table's list."""
        raise PermissionDenied


def _masked(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if request.user.has_perm(masks.VIEW_CONTACT_DATA) or response.status_code in range(300, 400):
        return response
    own = {request.user.get_username(), getattr(request.user, "email", "")}
    mask = partial(masks.mask_text, allowed=frozenset(name.casefold() for name in own if name))
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        response.add_post_render_callback(lambda rendered: _mask(rendered, mask))
    else:
        _mask(response, mask)
    return response


def _mask(response: HttpResponseBase, mask: masks.Mask) -> None:
    kind = response.get("Content-Type", "").partition(";")[0].strip()
    if isinstance(response, StreamingHttpResponse):
        if kind.startswith("text/"):
            response.streaming_content = masks.mask_lines(response.streaming_content, mask)  # type: ignore[arg-type]
        return
    assert isinstance(response, HttpResponse)
    if kind == "text/html":
        response.content = masks.mask_html(response.text, mask)
    elif kind == "application/json":
        response.content = masks.mask_json(response.text, mask)
    elif kind.startswith("text/"):
        response.content = mask(response.text)
