"""What the cache holds: JSON. Who can write into Redis can then change what is read, but run nothing here."""

import json
from typing import Any


class JSONSerializer:
    """For Django's Redis cache, in place of pickles; what JSON cannot say raises TypeError when it is stored."""

    def dumps(self, value: Any) -> bytes:
        """Write a value; a whole number is written as Redis counts, so that it can be increased."""
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        """Read a value; what is no JSON, such as a pickle of an earlier version, is as good as nothing kept."""
        try:
            return json.loads(data)
        except ValueError:
            return None
