"""The catalogue: all filters and templates. It changes only with a release."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from core.api.authentication import require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES
from segments.rules import parse
from segments.rules.catalogue import GROUP_LABELS, list_filters
from segments.templates import PURPOSES, TEMPLATES, Template

from . import conditional_requests
from .rules import RuleField

PARAMETERS = [conditional_requests.IF_NONE_MATCH]


@cache
def filter_entries() -> list[dict[str, Any]]:
    """Return all filters, by group."""
    return [asdict(entry) for entry in list_filters()]


@cache
def template_entries() -> list[dict[str, Any]]:
    """Return all templates, in the order of the admin."""
    return [_template_entry(template) for template in TEMPLATES.values()]


def _template_entry(template: Template) -> dict[str, Any]:
    rule = template.rule()
    return {
        "slug": template.slug,
        "name": template.name,
        "description": template.description,
        "purpose": template.purpose,
        "use": template.use,
        "parameters": [
            {
                "name": name,
                "default": parameter.default,
                "help": parameter.help,
                "minimum": parameter.minimum,
                "maximum": parameter.maximum,
                "whole": parameter.is_whole,
            }
            for name, parameter in template.parameters.items()
        ],
        "rule": rule,
        "sentence": f"Everyone who {parse(rule).sentence()}",
    }


@extend_schema_serializer(
    many=False,
    examples=[
        OpenApiExample("One of them", next(one for one in filter_entries() if one["name"] == "order_count"))
    ],
)
class FilterSerializer(serializers.Serializer[Any]):
    """A filter that rules can use."""

    name = serializers.CharField(help_text="The key of the filter in a rule.")
    label = serializers.CharField()  # type: ignore[assignment]
    help = serializers.CharField(help_text="What the filter means, in a sentence or two.")
    group = serializers.ChoiceField(choices=list(GROUP_LABELS.items()))
    parameters = serializers.SerializerMethodField(help_text="The parameters, as JSON Schema.")
    example = RuleField(help_text="A complete rule with this filter.")
    sentence = serializers.CharField(help_text="The example in English. It continues “everyone who”.")

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_parameters(self, entry: dict[str, Any]) -> Any:
        return entry["parameters"]


class ParameterSerializer(serializers.Serializer[Any]):
    """A parameter of a template."""

    name = serializers.CharField()
    default = serializers.FloatField()
    help = serializers.CharField()
    minimum = serializers.FloatField()
    maximum = serializers.FloatField()
    whole = serializers.BooleanField(help_text="Whether the value must be a whole number.")


@extend_schema_serializer(
    many=False,
    examples=[
        OpenApiExample("One of them", next(one for one in template_entries() if one["slug"] == "lost"))
    ],
)
class TemplateSerializer(serializers.Serializer[Any]):
    """A template: a ready-to-use segment."""

    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(help_text="Which customers are members.")
    purpose = serializers.ChoiceField(choices=list(PURPOSES.items()))
    use = serializers.CharField(help_text="What a shop can use the segment for.")
    parameters = ParameterSerializer(many=True)
    rule = RuleField(help_text="The rule with the default parameters.")
    sentence = serializers.CharField(help_text="The rule in English.")


class CatalogueView(APIView):
    """A list that is the same for all clients."""

    permission_classes = [require_scope("segments:read", "segments.view_segment")]
    listed: Callable[[], list[dict[str, Any]]]

    def answer(self, request: Request) -> HttpResponseBase:
        """Return the list, or 304 if the client has it."""
        listed = type(self).listed()
        return conditional_requests.respond_with_etag(
            request, conditional_requests.constant_etag(listed), listed
        )


class FiltersView(CatalogueView):
    listed = staticmethod(filter_entries)

    @extend_schema(
        parameters=PARAMETERS,
        responses={
            200: FilterSerializer(many=True),
            **conditional_requests.NOT_MODIFIED,
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["catalogue"],
    )
    def get(self, request: Request) -> HttpResponseBase:
        """List all filters, each with its parameters and an example. Needs the scope `segments:read`."""
        return self.answer(request)


class TemplatesView(CatalogueView):
    listed = staticmethod(template_entries)

    @extend_schema(
        parameters=PARAMETERS,
        responses={
            200: TemplateSerializer(many=True),
            **conditional_requests.NOT_MODIFIED,
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["catalogue"],
    )
    def get(self, request: Request) -> HttpResponseBase:
        """List the templates with their parameters. Needs the scope `segments:read`."""
        return self.answer(request)
