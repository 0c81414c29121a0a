"""SQL as a value: a text and its parameters, kept together from the module that writes it to the one that runs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, TypeAlias

from django.db import connection
from django.db.models import QuerySet


@dataclass(frozen=True)
class Sql:
    """A statement, or a part of one, with its parameters in their order.

    In the text ``%s`` stands for a parameter and ``%%`` for a percent sign. Raises ValueError unless there are as many
    parameters as the text has places for.
    """

    text: str
    params: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        places = self.text.count("%") - 2 * self.text.count("%%")
        if places != len(self.params):
            raise ValueError(f"SQL with {places} places for parameters got {len(self.params)} of them")

    def __add__(self, other: "Sql") -> "Sql":
        return Sql(self.text + other.text, self.params + other.params)


Query: TypeAlias = Sql | QuerySet[Any, Any]
"""What names rows to a function of another module: it is compiled at the last moment."""


def compile_query(query: Query) -> Sql:
    """Return the SQL of a queryset for the current connection; SQL stays as it is."""
    if isinstance(query, Sql):
        return query
    # Also of a queryset that Django knows to be empty.
    text, params = query.query.get_compiler(connection=connection, elide_empty=False).as_sql()
    return Sql(text, tuple(params))


def compose(template: str, /, **parts: Any) -> Sql:
    """Return the template with its parts in the places of their names in braces.

    SQL and querysets become part of the text. Any other value becomes a parameter.
    """
    texts: list[str] = []
    params: list[Any] = []
    for literal, name, _, _ in Formatter().parse(template):
        texts.append(literal)
        if name is None:
            continue
        part = parts[name]
        sql = compile_query(part) if isinstance(part, Sql | QuerySet) else Sql("%s", (part,))
        texts.append(sql.text)
        params += sql.params
    return Sql("".join(texts), tuple(params))


def union_all(queries: Sequence[Sql]) -> Sql:
    """Return one query of the rows of several."""
    return Sql(
        " UNION ALL ".join(query.text for query in queries),
        tuple(param for query in queries for param in query.params),
    )
