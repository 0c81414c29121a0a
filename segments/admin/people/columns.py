"""The columns of the table, each declared once: what it shows, what it is sorted by, and who may sort by it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import F, Value
from django.db.models.functions import Coalesce, Lower, NullIf
from django.http import HttpRequest

from core.templatetags.display import amount, moment, number
from core.values.decimals import from_units
from customers.admin import contact_data
from segments.models import Membership

CellValue = str | int | Decimal | datetime | None

COOKIE: Final = "member_columns"
COOKIE_SECONDS: Final = 365 * 86_400


@dataclass(frozen=True)
class Column:
    """One column. ``path`` leads from a membership to what it is sorted by; missing values come last.

    ``is_personal`` says that staff who may not see contact data see it masked, and so may not sort by it.
    """

    key: str
    label: str
    value: Callable[[Membership], CellValue]
    path: Any
    is_number: bool = False
    is_personal: bool = False
    is_default: bool = False

    def text(self, member: Membership) -> str:
        """Return the value for the page."""
        match self.value(member):
            case None | "":
                return "–"
            case datetime() as at:
                return moment(at)
            case Decimal() as money:
                return amount(money)
            case int() as count:
                return number(count)
            case text:
                return str(text)

    def cell(self, member: Membership) -> str:
        """Return the value for a file."""
        match self.value(member):
            case None:
                return ""
            case datetime() as at:
                return at.isoformat()
            case Decimal() as money:
                return f"{money:f}"
            case value:
                return str(value)


def _of_customer(name: str) -> Callable[[Membership], CellValue]:
    return lambda member: getattr(member.customer, name)


def _of_facts(name: str) -> Callable[[Membership], CellValue]:
    return lambda member: getattr(getattr(member.customer, "facts", None), name, None)


def _money(name: str) -> Callable[[Membership], CellValue]:
    def value(member: Membership) -> Decimal | None:
        units = _of_facts(name)(member)
        return from_units(units) if isinstance(units, int) else None

    return value


def _consent(member: Membership) -> CellValue:
    return member.customer.get_newsletter_display()


def _filled(*names: str) -> Any:
    """Return the first of some texts of the customer that is not empty, without its case."""
    texts = [NullIf(F(f"customer__{name}"), Value("")) for name in names]
    return Lower(Coalesce(*texts) if len(texts) > 1 else texts[0])


def _fact(name: str) -> Any:
    return F(f"customer__facts__{name}")


# fmt: off
COLUMNS: Final[Mapping[str, Column]] = {
    column.key: column
    for column in (
        Column("name", "Name", _of_customer("name"), _filled("last_name", "first_name", "email"),
               is_personal=True, is_default=True),
        Column("email", "E-mail", _of_customer("email"), _filled("email"), is_personal=True),
        Column("phone", "Phone", _of_customer("phone"), _filled("phone"), is_personal=True),
        Column("spent", "Spent", _money("total_spent"), _fact("total_spent"), is_number=True, is_default=True),
        Column("orders", "Orders", _of_facts("order_count"), _fact("order_count"),
               is_number=True, is_default=True),
        Column("average", "Average order", _money("average_order_value"), _fact("average_order_value"),
               is_number=True),
        Column("last_order", "Last order", _of_facts("last_order_at"), _fact("last_order_at"), is_default=True),
        Column("consent", "Newsletter", _consent, F("customer__newsletter"), is_default=True),
        Column("country", "Country", _of_customer("country"), _filled("country"), is_default=True),
        Column("city", "City", _of_customer("city"), _filled("city"), is_personal=True),
        Column("language", "Language", _of_customer("language"), _filled("language")),
        Column("source", "Source", _of_customer("source"), _filled("source")),
        Column("first_seen", "First seen", _of_facts("first_seen_at"), _fact("first_seen_at")),
        Column("last_activity", "Last activity", _of_facts("last_activity_at"), _fact("last_activity_at"),
               is_default=True),
        Column("visits", "Visits", _of_facts("session_count"), _fact("session_count"), is_number=True),
        Column("cart", "Cart", _money("cart_value"), _fact("cart_value"), is_number=True),
        Column("entered", "In since", lambda member: member.entered_at, F("entered_at"), is_default=True),
        Column("id", "Customer id", _of_customer("readable_id"), F("customer__customer_id"), is_personal=True),
    )
}
# fmt: on


def chosen_columns(request: HttpRequest) -> list[Column]:
    """Return the columns of the request, else those that this browser showed last, else the default ones.

    The name always comes first.
    """
    given = request.GET.getlist("columns") or request.COOKIES.get(COOKIE, "").split(".")
    chosen = [column for key, column in COLUMNS.items() if key in given and key != "name"]
    if not chosen:
        chosen = [column for key, column in COLUMNS.items() if column.is_default and key != "name"]
    return [COLUMNS["name"], *chosen]


def sortable_columns(request: HttpRequest) -> list[Column]:
    sees_contact = contact_data.may_see(request)
    return [column for column in COLUMNS.values() if sees_contact or not column.is_personal]


def cookie_value(columns: Sequence[Column]) -> str:
    """Return the columns as ``chosen_columns`` reads them from the cookie."""
    return ".".join(column.key for column in columns)
