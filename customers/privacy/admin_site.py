"""The admin site. Every page of staff goes through it and is masked for those who may not see contact data."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse, TemplateResponse
from unfold.sites import UnfoldAdminSite

from . import masks

MAX_RESULTS: Final = 100


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
        """Find pages by a part of their names. Not cached, because the framework caches objects that are not JSON."""
        term = request.GET.get("s", "").strip().lower()
        if not term:
            return HttpResponse()
        found = Paginator(self._search_apps(self.get_app_list(request), term), MAX_RESULTS)
        context = {"page_obj": found, "results": found.page(1), "page_counter": 0, "execution_time": 0}
        headers = {"HX-Trigger": "search"}
        return TemplateResponse(request, "unfold/helpers/search_results.html", context, headers=headers)

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
