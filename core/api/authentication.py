"""Who asks, and may they: API keys with scopes, or staff logged in with permissions."""

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
# One text for all of them: a stranger who has found a key does not learn what is wrong with it.
KEY_REFUSED_MESSAGE = "This key is wrong, has expired or was revoked, or it is not for use from your address."


class KeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer seg_…``; the key is ``request.auth``, and no user is logged in."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        """Find the key; a request that brings none may be known otherwise."""
        secret = self.secret_of(request)
        return None if secret is None else (AnonymousUser(), self.key_of(secret, request))

    def secret_of(self, request: Request) -> str | None:
        """Give the secret that a request brings."""
        scheme, *given = get_authorization_header(request).split() or [b""]
        if scheme.lower() != AUTH_SCHEME.lower().encode():
            return None
        if len(given) != 1:
            raise AuthenticationFailed(f"Send the key as “Authorization: {AUTH_SCHEME} seg_…”.")
        # Headers are bytes, and this reading of them never fails; what is no key is found by no digest.
        return given[0].decode("latin-1")

    def key_of(self, secret: str, request: Request) -> ApiKey:
        """Find the key that has a secret and may be used now, from there; who guesses is slowed down."""
        at, address = datetime.now(UTC), client_ip(request._request)
        key = keys.find_key(secret)
        if key is None or not keys.is_usable(key, at, address):
            _refuse(key, at, address)
        keys.record_use(key, at)
        return key

    def authenticate_header(self, request: Request) -> str:
        """Say how to authenticate; makes a refusal a 401."""
        return f'{AUTH_SCHEME} realm="api"'


class QueryKeyAuthentication(KeyAuthentication):
    """``?key=pub_…``, beside the header: a page that sends no header of its own asks without a preflight."""

    def secret_of(self, request: Request) -> str | None:
        """Give the secret of a public key."""
        given = request.query_params.get("key")
        # Addresses end up in logs and histories: what is no public key is not even looked up.
        if given is not None and not given.startswith(keys.PUBLIC_PREFIX):
            raise AuthenticationFailed(
                f"Only a key for pages ({keys.PUBLIC_PREFIX}…) may stand in the address;"
                f" send others as “Authorization: {AUTH_SCHEME} …”."
            )
        return given


def _refuse(key: ApiKey | None, at: datetime, address: str | None) -> NoReturn:
    if key is not None:
        log.warning("key_refused", key=key.prefix, address=address)
    # Only what is refused is counted: a right key is not held up by whoever shares its address.
    if wait := rate_limits.throttle_group("guesses", rate_limit_key(address), at):
        raise Throttled(wait)
    raise AuthenticationFailed(KEY_REFUSED_MESSAGE)


def caller_id(request: Request) -> str:
    """Name who asks: a key, one of the staff, or for want of both an address."""
    if isinstance(request.auth, ApiKey):
        return f"key {request.auth.pk}"
    if request.user.is_authenticated:
        return f"user {request.user.pk}"
    return f"address {rate_limit_key(client_ip(request._request))}"


def require_scope(scope: str, *permissions: str) -> type[BasePermission]:
    """Make a permission: keys need the scope, staff who are logged in the permissions of the admin."""
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
    """How the documentation describes keys."""

    target_class = KeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Describe the header."""
        scopes = "; ".join(f"`{scope}`: {meaning}" for scope, meaning in keys.SCOPES.items())
        described = build_bearer_security_scheme_object(header_name="Authorization", token_prefix=AUTH_SCHEME)
        return described | {"description": f"A key made by `manage.py create_key NAME --scopes …`. {scopes}."}


class QueryKeyAuthenticationScheme(OpenApiAuthenticationExtension):
    """How the documentation describes keys that stand in the address."""

    target_class = QueryKeyAuthentication
    name = "pageKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Describe the parameter."""
        described = "A key for pages, made by `manage.py create_key NAME --visitors`, in the address."
        return {"type": "apiKey", "in": "query", "name": "key", "description": described}
