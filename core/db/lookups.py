"""Lookups of the ORM beyond Django's own."""

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Field, ForeignObject, Lookup

from . import dialect


class OneOf(Lookup):
    """``__one_of``: ``__in`` for many numbers or many texts.

    They are one parameter. Django and the driver handle each value of ``__in`` by itself, which takes longer than
    the query.
    """

    lookup_name = "one_of"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        if not self.rhs:
            raise EmptyResultSet
        column, params = self.process_lhs(compiler, connection)
        matches = dialect.is_one_of(column, self.rhs)
        return matches.text, (*params, *matches.params)


def register_lookups() -> None:
    for fields in (Field, ForeignObject):
        fields.register_lookup(OneOf)
