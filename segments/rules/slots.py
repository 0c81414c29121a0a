"""Parameters of a question that depend on the instant it is asked for.

A question is built for a shop at an instant, or for a blank form of one: then its parameters stay open in the
compiled SQL, and are filled in each time it runs. So sixteen rules are compiled once, not for each call.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Expression

Fill = Callable[..., Any]


class Slot(Expression):
    """A parameter: what ``fill`` makes of the shops it was built for, or of those that take their place."""

    def __init__(self, fill: Fill, *shops: Any, output_field: Any = None) -> None:
        super().__init__(output_field=output_field)
        self.fill, self.shops = fill, shops

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        """Compile to the value, or to this slot itself where a shop is a blank form."""
        is_open = any(shop.is_blank for shop in self.shops)
        return "%s", [self if is_open else self.filled({})]

    def filled(self, forms: Any) -> Any:
        """Give the value, as the database driver takes it, with shops in the place of their blank forms."""
        value = self.fill(*(forms.get(shop, shop) for shop in self.shops))
        return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


class Instant(Slot):
    """The instant of a blank form, or one so much earlier."""

    def __init__(self, shop: Any = None, earlier: timedelta = timedelta()) -> None:
        super().__init__(lambda filled: filled.at - earlier, shop, output_field=DateTimeField())
        self.earlier = earlier

    @property
    def identity(self) -> tuple[Any, ...]:
        """Two are alike that stand so much before the same form's instant."""
        return Instant, self.shops, self.earlier

    def __sub__(self, span: Any) -> "Instant":  # type: ignore[override]
        return Instant(self.shops[0], self.earlier + span)

    def mapped(self, encode: Callable[[datetime], Any]) -> Slot:
        """Give what a function makes of the instant."""
        earlier = self.earlier
        return Slot(lambda filled: encode(filled.at - earlier), *self.shops)
