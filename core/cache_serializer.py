"""The cache holds JSON, not pickles: somebody who can write to Redis cannot run code here."""

import json
from typing import Any


class JSONSerializer:
    """A serializer for Django's Redis cache. Raises TypeError for values that JSON cannot represent."""

    def dumps(self, value: Any) -> bytes:
        """Serialize a value. Whole numbers look as Redis writes them, so that they can be incremented."""
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        """Return the value, or None for data that is not JSON, such as a pickle of an earlier version."""
        try:
            return json.loads(data)
        except ValueError:
            return None
