"""How ids stand in addresses: with anything in them that a shop may have put there."""

from django.urls import register_converter
from django.urls.converters import StringConverter


def encode_path_part(text: str) -> str:
    """Encode what separates the parts of an address; the converter decodes it."""
    return text.replace("%", "%25").replace("/", "%2F")


class IdConverter(StringConverter):
    """An id with slashes and line breaks, which Django's own ``path`` does not take.

    Addresses of the API are matched as ``core.http.encoded_paths`` encodes them. A slash that was sent as it is
    belongs to the id as well, unless another address fits better.
    """

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        """Decode the id."""
        return value.replace("%2F", "/").replace("%25", "%")


register_converter(IdConverter, "id")
