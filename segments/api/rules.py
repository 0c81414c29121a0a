"""Rules in requests and responses: fields, their OpenAPI description, and errors by path."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError as Refused
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request

from core.models import ApiKey
from core.values.regexes import FIRST_YEAR, LAST_YEAR, WITHOUT_NUL
from customers.privacy.masks import VIEW_CONTACT_DATA
from segments import disclosure
from segments.rules import Rule, RuleError
from segments.rules.catalogue import rule_schema
from segments.rules.parsing import MAX_CONDITIONS, MAX_DEPTH

EXAMPLE_RULE = {"all": [{"order_count": {"is": 1}}, {"last_order": {"within_last": "30d"}}]}


class RuleField(serializers.JSONField):
    """A rule, a JSON object with one key."""

    def to_internal_value(self, data: Any) -> Any:
        """Accept any JSON. The rule language validates it later, and names the path of an error."""
        return data


@contextmanager
def rule_errors_by_path() -> Iterator[None]:
    """Raise the API's ValidationError, by path, for errors of a rule or of ``segment_store``."""
    try:
        yield
    except RuleError as error:
        raise ValidationError({error.path or "rule": error.message}) from None
    except Refused as error:
        raise ValidationError(error.message_dict) from None


class AsksForContactData(APIException):
    """The rule has a condition on contact data, which this client may not see."""

    status_code = status.HTTP_403_FORBIDDEN
    default_code = "asks_for_contact_data"


def check_disclosure(rule: Rule, request: Request, *, asks_rules: bool = False) -> None:
    """Raise AsksForContactData if the rule could reveal contact data that the client may not see.

    For ``asks_rules`` see ``disclosure.check_exposure``.
    """
    _check(partial(disclosure.check_exposure, rule, asks_rules=asks_rules), request)


def check_changes_disclosure(rule: Rule, request: Request) -> None:
    """Raise AsksForContactData if sizes at many instants could reveal contact data that the client may not see."""
    _check(partial(disclosure.check_changes, rule), request)


def _check(check: Callable[[], None], request: Request) -> None:
    if isinstance(request.auth, ApiKey):
        sees_contact, lacks = "members:read" in request.auth.scopes, "this key lacks the scope members:read"
    else:
        sees_contact, lacks = (
            request.user.has_perm(VIEW_CONTACT_DATA),
            f"you lack the permission {VIEW_CONTACT_DATA}",
        )
    if sees_contact:
        return
    try:
        check()
    except RuleError as error:
        raise AsksForContactData({error.path: f"{error.message}: {lacks}"}) from None


class RuleFieldSchema(OpenApiSerializerFieldExtension):
    """The description of rules in the OpenAPI schema, with all filters."""

    target_class = RuleField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """Return a reference to the component ``Rule``."""
        component = ResolvedComponent("Rule", ResolvedComponent.SCHEMA, object=RuleField)
        if component not in auto_schema.registry:
            schema = _with_components(_for_openapi(rule_schema(component.ref)), auto_schema.registry)
            component.schema = schema | {
                "description": "A JSON object with one key: a group of rules, or a filter with its parameters. It has"
                f" at most {MAX_CONDITIONS} conditions, and {MAX_DEPTH} levels of groups.",
                "example": EXAMPLE_RULE,
            }
            auto_schema.registry.register_on_missing(component)
        return component.ref


def _with_components(schema: Any, registry: Any) -> Any:
    """Move each schema with a title into a component, and refer to it."""
    if isinstance(schema, list):
        return [_with_components(part, registry) for part in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {word: _with_components(value, registry) for word, value in schema.items() if word != "title"}
    if not isinstance(title := schema.get("title"), str):
        return converted
    component = ResolvedComponent(f"Rule{title}", ResolvedComponent.SCHEMA, converted, title)
    registry.register_on_missing(component)
    return component.ref


def _for_openapi(schema: Any) -> Any:
    """Translate JSON Schema to OpenAPI 3.0."""
    if isinstance(schema, list):
        return [_for_openapi(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {word: _for_openapi(value) for word, value in schema.items()}
    if not isinstance(converted.get("type"), str):
        return converted
    if "exclusiveMinimum" in converted:
        converted |= {"minimum": converted["exclusiveMinimum"], "exclusiveMinimum": True}
    if "examples" in converted:
        # No `example`: tools would put the examples of all operators into one object, which allows only one.
        converted["description"] = (
            "A span, such as " + ", ".join(f"`{one}`" for one in converted.pop("examples")) + "."
        )
    if converted.get("format") == "date":
        # The pattern is stricter: it limits the years.
        converted["description"] = f"A day, such as `2026-03-31`, of the years {FIRST_YEAR} to {LAST_YEAR}."
        del converted["format"]
    if converted["type"] == "string" and not converted.keys() & {"pattern", "enum"}:
        converted["pattern"] = WITHOUT_NUL
    return converted
