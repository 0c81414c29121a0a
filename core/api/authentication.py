"""Authentication and permissions of the API: keys with scopes, or logged-in staff with permissions."""

from datetime import UTC, datetime
from typing import Any, NoReturn

import structlog
from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied, Throttled
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from core import rate_limits
from core.http.client_ip import client_ip, rate_limit_key
from core.models import ApiKey

from . import keys

log = structlog.get_logger(__name__)

AUTH_SCHEME = "Bearer"
# One text for all cases: somebody who has found a key must not learn what is wrong with it.
KEY_REFUSED_MESSAGE = "The key is wrong, has expired, was revoked, or is not allowed from your address."


class KeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer seg_…``. The key becomes ``request.auth``, and the user is anonymous."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        secret = self.secret_of(request)
        return None if secret is None else (AnonymousUser(), self.key_of(secret, request))

    def secret_of(self, request: Request) -> str | None:
        """Return the secret that the request sends, or None."""
        scheme, *given = get_authorization_header(request).split() or [b""]
        if scheme.lower() != AUTH_SCHEME.lower().encode():
            return None
        if len(given) != 1:
            raise AuthenticationFailed(f"Send the key as “Authorization: {AUTH_SCHEME} seg_…”.")
        # latin-1 decodes any bytes. What is not a key has no matching digest.
        return given[0].decode("latin-1")

    def key_of(self, secret: str, request: Request) -> ApiKey:
        """Return the key with this secret if it may be used now and from there. Guessing is throttled."""
        at, address = datetime.now(UTC), client_ip(request._request)
        key = keys.find_key(secret)
        if key is None or not keys.is_usable(key, at, address):
            _refuse(key, at, address)
        keys.record_use(key, at)
        return key

    def authenticate_header(self, request: Request) -> str:
        """Return the ``WWW-Authenticate`` header. With it, the response is 401 and not 403."""
        return f'{AUTH_SCHEME} realm="api"'


class QueryKeyAuthentication(KeyAuthentication):
    """``?key=pub_…`` instead of the header, so that requests of a web page need no preflight."""

    def secret_of(self, request: Request) -> str | None:
        """Return the secret of a public key, or None."""
        given = request.query_params.get("key")
        # URLs end up in logs and browser histories, so other keys are refused without being looked up.
        if given is not None and not given.startswith(keys.PUBLIC_PREFIX):
            raise AuthenticationFailed(
                f"Only a key for web pages ({keys.PUBLIC_PREFIX}…) may be sent in the address."
                f" Send other keys as “Authorization: {AUTH_SCHEME} …”."
            )
        return given


def _refuse(key: ApiKey | None, at: datetime, address: str | None) -> NoReturn:
    if key is not None:
        log.warning("key_refused", key=key.prefix, address=address)
    # Only refused keys count, so a valid key is not throttled because of others at its address.
    if wait := rate_limits.throttle_group("guesses", rate_limit_key(address), at):
        raise Throttled(wait)
    raise AuthenticationFailed(KEY_REFUSED_MESSAGE)


def caller_id(request: Request) -> str:
    """Return a name for the caller: a key, a user, or else an address."""
    if isinstance(request.auth, ApiKey):
        return f"key {request.auth.pk}"
    if request.user.is_authenticated:
        return f"user {request.user.pk}"
    return f"address {rate_limit_key(client_ip(request._request))}"


def require_scope(scope: str, *permissions: str) -> type[BasePermission]:
    """Return a permission class: keys need the scope, logged-in staff the permissions. Raises ValueError."""
    if scope not in keys.SCOPES:
        raise ValueError(f"there is no scope {scope!r}")

    class Needs(BasePermission):
        message = f"You need the permission {' and '.join(permissions)}."

        def has_permission(self, request: Request, view: Any) -> bool:
            if not isinstance(request.auth, ApiKey):
                return request.user.is_staff and request.user.has_perms(permissions)
            if scope not in request.auth.scopes:
                raise PermissionDenied(f"This key lacks the scope {scope}.", code="missing_scope")
            return True

    return Needs


class KeyAuthenticationScheme(OpenApiAuthenticationExtension):
    """Keys in the OpenAPI schema."""

    target_class = KeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        scopes = "; ".join(f"`{scope}`: {meaning}" for scope, meaning in keys.SCOPES.items())
        described = build_bearer_security_scheme_object(header_name="Authorization", token_prefix=AUTH_SCHEME)
        return described | {
            "description": f"A key created by `manage.py create_key NAME --scopes …`. {scopes}."
        }


class QueryKeyAuthenticationScheme(OpenApiAuthenticationExtension):
    """Keys in the address, in the OpenAPI schema."""

    target_class = QueryKeyAuthentication
    name = "pageKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        described = "A key for web pages, created by `manage.py create_key NAME --visitors`, in the address."
        return {"type": "apiKey", "in": "query", "name": "key", "description": described}
