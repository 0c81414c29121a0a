"""Text fields whose OpenAPI description is as strict as their validation."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from rest_framework import serializers

from core.values.regexes import NOT_BLANK, WITHOUT_NUL
from segments.models import SLUG_LENGTH


class TextField(serializers.CharField):
    """A text. Numbers and booleans are rejected, not converted."""

    pattern = ""

    def to_internal_value(self, data: Any) -> str:
        """Reject a value that is not a string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class SlugField(TextField, serializers.SlugField):
    """The slug of a segment."""

    pattern = f"^[-a-zA-Z0-9_]{{1,{SLUG_LENGTH}}}$"

    def __init__(self, **options: Any) -> None:
        """Set the length, and reject spaces instead of trimming them."""
        super().__init__(max_length=SLUG_LENGTH, trim_whitespace=False, **options)


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
