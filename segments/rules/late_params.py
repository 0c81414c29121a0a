"""Query parameters that depend on the evaluation context.

The query of a rule is built for an evaluation context or for a placeholder. With a placeholder, the parameters stay
open in the compiled SQL and are filled in each time the statement runs. So rules are compiled once, not for each call.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Expression, TextField
from django.db.models.expressions import RawSQL

from core.db import dialect

Fill = Callable[..., Any]


class LateParam(Expression):
    """A parameter whose value ``fill`` computes from evaluation contexts, which may be placeholders."""

    def __init__(self, fill: Fill, *contexts: Any, output_field: Any = None) -> None:
        super().__init__(output_field=output_field)
        self.fill, self.contexts = fill, contexts

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        """Compile to the value, or to the parameter itself if a context is a placeholder."""
        is_open = any(context.is_placeholder for context in self.contexts)
        return "%s", [self if is_open else self.filled({})]

    def filled(self, replacements: Any) -> Any:
        """Return the value for the database driver. ``replacements`` maps placeholders to contexts."""
        value = self.fill(*(context.filled(replacements) for context in self.contexts))
        return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


class LateInstant(LateParam):
    """The instant of a placeholder context, or an instant a fixed span before or after it."""

    def __init__(self, context: Any = None, earlier: timedelta = timedelta()) -> None:
        super().__init__(lambda filled: filled.at - earlier, context, output_field=DateTimeField())
        self.earlier = earlier

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for the same span before the instant of the same context."""
        return LateInstant, self.contexts, self.earlier

    def __sub__(self, span: Any) -> "LateInstant":  # type: ignore[override]
        return LateInstant(self.contexts[0], self.earlier + span)

    def __add__(self, span: Any) -> "LateInstant":  # type: ignore[override]
        return LateInstant(self.contexts[0], self.earlier - span)

    def mapped(self, encode: Callable[[datetime], Any]) -> LateParam:
        """Return a parameter that is ``encode`` of the instant."""
        earlier = self.earlier
        return LateParam(lambda filled: encode(filled.at - earlier), *self.contexts)


class ColumnInstant(Expression):
    """The instant that each row has in a column, or an instant a fixed span after it."""

    def __init__(self, column: str, later: timedelta = timedelta()) -> None:
        super().__init__(output_field=DateTimeField())
        self.column, self.later = column, later

    @property
    def sql(self) -> str:
        if not self.later:
            return self.column
        return dialect.datetime_plus_sql(self.column, dialect.interval_sql(self.later))

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        """Compile to the column."""
        return self.sql, []

    def __sub__(self, span: Any) -> "ColumnInstant":  # type: ignore[override]
        return ColumnInstant(self.column, self.later - span)

    def __add__(self, span: Any) -> "ColumnInstant":  # type: ignore[override]
        return ColumnInstant(self.column, self.later + span)

    def encoded(self) -> RawSQL:
        """Return the instant in the sortable form of free values."""
        return RawSQL(dialect.encoded_datetime_sql(self.sql), (), output_field=TextField())
