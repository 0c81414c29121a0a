"""Ids in URLs. A shop's ids can contain any character."""

from django.urls import register_converter
from django.urls.converters import StringConverter


def encode_path_part(text: str) -> str:
    """Encode the slashes and percent signs of a part of a path. ``IdConverter`` decodes them."""
    return text.replace("%", "%25").replace("/", "%2F")


class IdConverter(StringConverter):
    """An id that may contain slashes and line breaks. Django's own ``path`` converter allows no line breaks.

    API URLs are matched as ``core.http.encoded_paths`` encodes them. An unencoded slash belongs to the id, too, unless
    an earlier URL pattern matches.
    """

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        return value.replace("%2F", "/").replace("%25", "%")


register_converter(IdConverter, "id")
