"""How ids stand in addresses: with anything in them that a shop may have put there."""

from django.urls import register_converter
from django.urls.converters import StringConverter


class IdConverter(StringConverter):
    """An id with slashes and line breaks, which Django's own ``path`` does not take."""

    regex = r"[\s\S]+"


register_converter(IdConverter, "id")
