"""Hooks of drf-spectacular, which complete the OpenAPI description."""

import re
from typing import Any

Schema = dict[str, Any]

_FIRST_SENTENCE = re.compile(r"(?<=\.)\s")


def require_request_bodies(result: Schema, **context: Any) -> Schema:
    """Mark the body of every POST as required."""
    for methods in result["paths"].values():
        if "requestBody" in methods.get("post", {}):
            methods["post"]["requestBody"]["required"] = True
    return result


def allow_empty_choices(result: Schema, **context: Any) -> Schema:
    """Allow an empty text for query parameters with choices, which means no choice."""
    for methods in result["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query" and "enum" in parameter["schema"]:
                    parameter["schema"]["enum"].append("")
    return result


def add_summaries(result: Schema, **context: Any) -> Schema:
    """Use the first sentence of each description as the summary."""
    for methods in result["paths"].values():
        for operation in methods.values():
            if "description" in operation:
                operation["summary"] = _FIRST_SENTENCE.split(operation["description"], maxsplit=1)[0].rstrip(
                    "."
                )
    return result
