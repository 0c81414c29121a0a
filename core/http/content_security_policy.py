"""The Content-Security-Policy of each page. A page without a policy of its own gets the strictest."""

from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import idna
from csp.constants import HEADER, NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CheckableLazyObject, CSPMiddleware, PolicyParts
from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.shop import last_known_shop

Directives = dict[str, list[Any]]

_ANY_NONCE: Final = "{nonce}"
_CHANGED_BY_VIEWS: Final = frozenset(
    f"_csp_{what}{report_only}"
    for what in ("config", "update", "replace", "exempt")
    for report_only in ("", "_ro")
)
"""What the decorators of django-csp set on a response."""

PUBLIC_POLICY: Final[Directives] = {
    "default-src": [NONE],
    "script-src": [SELF, NONCE],
    "style-src": [SELF, NONCE],
    "img-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [NONE],
}
"""For public pages: nothing inline without a nonce, no eval."""

API_POLICY: Final[Directives] = PUBLIC_POLICY | {
    "style-src": [SELF, UNSAFE_INLINE],  # Swagger UI and the browsable API set styles on elements
    "img-src": [SELF, "data:"],
    "font-src": [SELF, "data:"],
}

ADMIN_POLICY: Final[Directives] = PUBLIC_POLICY | {
    # Unfold uses Alpine, which evaluates expressions in attributes. Templates write these attributes, and user input
    # is never part of them.
    "script-src": [SELF, NONCE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "frame-src": [SELF],  # the sandboxed preview of a message
}


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Set the header, from the cache unless the response has a policy of its own."""
        if settings.DEBUG or HEADER in response or not _CHANGED_BY_VIEWS.isdisjoint(vars(response)):
            return super().process_response(request, response)
        nonce = getattr(request, "_csp_nonce", None)
        policy = _built_policy(_kind_of(request.path), _shop_images(), nonce is not None)
        response[HEADER] = policy if nonce is None else policy.replace(_ANY_NONCE, nonce)
        if nonce is None:  # whoever asks for one now gets an error, as the header does not allow it
            request.csp_nonce = CheckableLazyObject(self._csp_nonce_post_response)  # type: ignore[attr-defined]
        return response

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if parts.config is None and not report_only:
            parts.config = _policy_of(_kind_of(request.path), _shop_images())
        return parts


@lru_cache(maxsize=100)
def _built_policy(kind: str, shop_images: tuple[str, ...], has_nonce: bool) -> str:
    return build_policy(_policy_of(kind, shop_images), nonce=_ANY_NONCE if has_nonce else None)


def _kind_of(path: str) -> str:
    return next((kind for kind in ("/admin/", "/api/") if path.startswith(kind)), "/")


def _policy_of(kind: str, shop_images: tuple[str, ...]) -> Directives:
    if kind == "/admin/":
        # Previews of messages show images of the shop.
        return ADMIN_POLICY | {"img-src": [*ADMIN_POLICY["img-src"], *shop_images]}
    return API_POLICY if kind == "/api/" else PUBLIC_POLICY


def _shop_images() -> tuple[str, ...]:
    shop = last_known_shop()
    own = dict.fromkeys(filter(None, map(_origin, (shop.url, shop.logo))))
    return (*own, *settings.PRODUCT_HOSTS)


@lru_cache(maxsize=100)
def _origin(url: str) -> str:
    """Return the origin of a URL as a browser writes it, or an empty text if there is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except ValueError:  # also of idna
        return ""
    if not host:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{port}" if port else f"{parts.scheme}://{host}"
