"""Who asks, and may they: API keys with scopes, or staff logged in with permissions."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from . import keys
from .models import ApiKey

SCHEME = "Bearer"


class KeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer seg_…``; the key is ``request.auth``, and no user is logged in."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        """Find the key; a request that brings none may be known otherwise."""
        scheme, *given = get_authorization_header(request).split() or [b""]
        if scheme.lower() != SCHEME.lower().encode():
            return None
        if len(given) != 1:
            raise AuthenticationFailed(f"Send the key as “Authorization: {SCHEME} seg_…”.")
        # Headers are bytes, and this reading of them never fails; what is no key is found by no digest.
        key = keys.find(given[0].decode("latin-1"))
        if key is None:
            raise AuthenticationFailed("This key is wrong or was revoked.")
        keys.note_use(key, datetime.now(UTC))
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        """Say how to authenticate; makes a refusal a 401."""
        return f'{SCHEME} realm="api"'


def needs(scope: str, *permissions: str) -> type[BasePermission]:
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


class KeyAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the documentation describes keys."""

    target_class = KeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Describe the header."""
        scopes = "; ".join(f"`{scope}`: {meaning}" for scope, meaning in keys.SCOPES.items())
        described = build_bearer_security_scheme_object(header_name="Authorization", token_prefix=SCHEME)
        return described | {"description": f"A key made by `manage.py create_key NAME --scopes …`. {scopes}."}
