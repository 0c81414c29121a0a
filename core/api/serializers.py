"""Serializers and fields whose validation and OpenAPI description are equally strict."""

import re
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.values.regexes import NOT_BLANK, WITHOUT_NUL


class StrictSerializer(serializers.Serializer[Any]):
    """An object that rejects unknown fields, so that a misspelt one is not ignored."""

    cannot_be_set: tuple[str, ...] = ()

    def to_internal_value(self, data: Any) -> Any:
        """Reject unknown fields, and those that are read-only."""
        if isinstance(data, dict):
            known = ", ".join(self.fields)
            wrong = {
                str(name)[:100].encode(errors="replace").decode(): (
                    "cannot be set"
                    if name in self.cannot_be_set
                    else f"is not a field; the fields are {known}"
                )
                for name in data
                if name not in self.fields
            }
            if wrong:
                raise ValidationError(wrong)
        return super().to_internal_value(data)


class StrictSchema(OpenApiSerializerExtension):
    """The description of strict objects in the OpenAPI schema."""

    target_class = StrictSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """Add ``additionalProperties: false``."""
        described = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return described | {"additionalProperties": False}


class TextField(serializers.CharField):
    """A text. Numbers and booleans are rejected, not converted."""

    pattern = ""

    def to_internal_value(self, data: Any) -> str:
        """Reject a value that is not a string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TextListField(serializers.ListField):
    """A list of texts that are not trimmed."""

    child: TextField

    def __init__(self, child: TextField, **options: Any) -> None:
        """Prepare to recognize a valid text by one expression instead of by each validator of the child."""
        super().__init__(child=child, **options)
        self._is_valid = re.compile(child.pattern or f"[^\\0\ud800-\udfff]{{1,{child.max_length}}}").fullmatch

    def run_child_validation(self, data: Any) -> Any:
        """Validate each text, and lists with an invalid one by the child, which says what is wrong with it."""
        is_valid = self._is_valid
        if all(isinstance(text, str) and is_valid(text) for text in data):
            return list(data)
        return super().run_child_validation(data)


class TextFieldSchema(OpenApiSerializerFieldExtension):
    """The description of text fields in the OpenAPI schema."""

    target_class = TextField
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        field = self.target
        if field.pattern:
            return {"type": "string", "pattern": field.pattern}
        if field.allow_blank:
            return {"type": "string", "maxLength": field.max_length, "pattern": WITHOUT_NUL}
        pattern = NOT_BLANK if field.trim_whitespace else WITHOUT_NUL
        return {"type": "string", "minLength": 1, "maxLength": field.max_length, "pattern": pattern}
