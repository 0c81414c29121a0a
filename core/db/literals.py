"""Long statements that run very often, with their values as part of the text on PostgreSQL.

psycopg parses a statement of more than 4,096 characters or 50 parameters anew each time. One without parameters is sent
as it is.
"""

from collections.abc import Callable, Hashable
from typing import Any

from django.db import connection
from psycopg.adapt import Transformer

from .backends import is_postgresql
from .sql import Sql


class Template:
    """SQL of which some parameters stay open, to be filled in for each execution.

    ``open_key`` returns what identifies an open parameter, and None for any other.
    """

    def __init__(self, sql: Sql, open_key: Callable[[Any], Hashable]) -> None:
        self._keys = [open_key(param) for param in sql.params]
        self._open = {
            key: param for key, param in zip(self._keys, sql.params, strict=True) if key is not None
        }
        self._sql = sql
        self._parts = self._split() if is_postgresql() else []

    def _split(self) -> list[Any]:
        """Return the text in parts, with the keys of the open parameters in between."""
        write = _literal_writer()
        # No SQL contains NUL.
        first, *others = self._sql.text.replace("%%", "\0").split("%s")
        parts: list[Any] = [first]
        for key, param, text in zip(self._keys, self._sql.params, others, strict=True):
            if key is None:
                parts[-1] += write(param) + text
            else:
                parts += [key, text]
        parts[::2] = [text.replace("\0", "%%") for text in parts[::2]]
        return parts

    def filled(self, fill: Callable[[Any], Any]) -> Sql:
        """Return the statement with what ``fill`` returns for the open parameters. Those with one key share a value."""
        values = {key: fill(param) for key, param in self._open.items()}
        if not self._parts:
            return Sql(
                self._sql.text,
                tuple(
                    param if key is None else values[key]
                    for key, param in zip(self._keys, self._sql.params, strict=True)
                ),
            )
        write = _literal_writer()
        literals = {key: write(value) for key, value in values.items()}
        parts = self._parts.copy()
        parts[1::2] = [literals[key] for key in parts[1::2]]
        return Sql("".join(parts))


def _literal_writer() -> Callable[[Any], str]:
    """Return a function that writes a value as PostgreSQL's literal, with percent signs escaped as in ``Sql``."""
    connection.ensure_connection()
    write = Transformer(connection.connection).as_literal
    return lambda value: bytes(write(value)).decode().replace("%", "%%")
