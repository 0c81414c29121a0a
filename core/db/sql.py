"""SQL as a value: a text with its parameters, from the module that writes it to the one that runs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, TypeAlias

from django.db import connection
from django.db.models import QuerySet


@dataclass(frozen=True)
class Sql:
    """A statement, or a part of one, with its parameters in their order.

    In the text, ``%s`` stands for a parameter and ``%%`` for a percent sign. Raises ValueError if the number of
    parameters differs from the number of placeholders.
    """

    text: str
    params: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        placeholders = self.text.count("%") - 2 * self.text.count("%%")
        if placeholders != len(self.params):
            raise ValueError(f"SQL with {placeholders} placeholders got {len(self.params)} parameters")

    def __add__(self, other: "Sql") -> "Sql":
        return Sql(self.text + other.text, self.params + other.params)


Query: TypeAlias = Sql | QuerySet[Any, Any]
"""What modules pass on to select rows. It is compiled when it is run."""


def compile_query(query: Query) -> Sql:
    """Return the SQL of a queryset for the current connection, or SQL as it is."""
    if isinstance(query, Sql):
        return query
    # elide_empty=False: also compile a queryset that Django knows to be empty.
    text, params = query.query.get_compiler(connection=connection, elide_empty=False).as_sql()
    return Sql(text, tuple(params))


def compose(template: str, /, **parts: Any) -> Sql:
    """Return the template with each name in braces replaced by its part.

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
    """Return a UNION ALL of the queries."""
    return Sql(
        " UNION ALL ".join(query.text for query in queries),
        tuple(param for query in queries for param in query.params),
    )
