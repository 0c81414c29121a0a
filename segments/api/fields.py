"""The field for the slug of a segment."""

from typing import Any

from rest_framework import serializers

from core.api.serializers import TextField
from segments.models import SLUG_LENGTH


class SlugField(TextField, serializers.SlugField):
    """The slug of a segment."""

    pattern = f"^[-a-zA-Z0-9_]{{1,{SLUG_LENGTH}}}$"

    def __init__(self, **options: Any) -> None:
        """Set the length, and reject spaces instead of trimming them."""
        super().__init__(max_length=SLUG_LENGTH, trim_whitespace=False, **options)
