"""The Content-Security-Policy of each page. A page without a policy of its own gets the strictest."""

from typing import Any, Final
from urllib.parse import urlsplit

from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Directives = dict[str, list[Any]]

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
    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if parts.config is None and not report_only:
            parts.config = _policy_of(request.path)
        return parts


def _policy_of(path: str) -> Directives:
    if path.startswith("/admin/"):
        # Previews of messages show images of the shop.
        return ADMIN_POLICY | {
            "img-src": [*ADMIN_POLICY["img-src"], _origin(settings.SHOP_URL), *settings.PRODUCT_HOSTS]
        }
    return API_POLICY if path.startswith("/api/") else PUBLIC_POLICY


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
