"""The columns of the table, each declared once: what it shows, what it is sorted by, and who may sort by it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from customers.models import Customer
from segments.models import Membership

CellValue = str | int | Decimal | datetime | None

COOKIE: Final = "member_columns"
COOKIE_SECONDS: Final = 365 * 86_400


@dataclass(frozen=True)
class Column:
    """One column. ``field`` leads from a membership to its value, and ``path`` to what it is sorted by instead.

    Missing values come last. ``is_personal`` says that staff who may not see contact data see it masked, and so may not
    sort by it.
    """

    key: str
    label: str
    field: str
    path: Any = None
    convert: Callable[[Any], CellValue] = lambda value: value
    is_number: bool = False
    is_personal: bool = False
    is_default: bool = False

    @property
    def is_moment(self) -> bool:
        """Whether the values are instants, by the name of their field."""
        return self.field.endswith("_at")

    @property
    def order(self) -> Any:
        """Return the expression to sort by."""
        return F(self.field) if self.path is None else self.path

    def value(self, member: Membership) -> CellValue:
        """Return the value of a member, None without facts."""
        found: Any = member
        for name in self.field.split("__"):
            found = getattr(found, name, None)
        return None if found is None else self.convert(found)

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


def _consent(newsletter: str) -> str:
    return str(Customer.Newsletter(newsletter).label)


def _filled(*names: str) -> Any:
    """Return the first of some texts of the customer that is not empty, without its case."""
    texts = [NullIf(F(f"customer__{name}"), Value("")) for name in names]
    return Lower(Coalesce(*texts) if len(texts) > 1 else texts[0])


def _text(key: str, label: str, *, is_personal: bool = False, is_default: bool = False) -> Column:
    return Column(
        key, label, f"customer__{key}", _filled(key), is_personal=is_personal, is_default=is_default
    )


def _money(key: str, label: str, fact: str, *, is_default: bool = False) -> Column:
    return Column(
        key, label, f"customer__facts__{fact}", convert=from_units, is_number=True, is_default=is_default
    )


# fmt: off
COLUMNS: Final[Mapping[str, Column]] = {
    column.key: column
    for column in (
        Column("name", "Name", "customer__name", _filled("last_name", "first_name", "email"),
               is_personal=True, is_default=True),
        _text("email", "E-mail", is_personal=True),
        _text("phone", "Phone", is_personal=True),
        _money("spent", "Spent", "total_spent", is_default=True),
        Column("orders", "Orders", "customer__facts__order_count", is_number=True, is_default=True),
        _money("average", "Average order", "average_order_value"),
        Column("last_order", "Last order", "customer__facts__last_order_at", is_default=True),
        Column("consent", "Newsletter", "customer__newsletter", convert=_consent, is_default=True),
        _text("country", "Country", is_default=True),
        _text("city", "City", is_personal=True),
        _text("language", "Language"),
        _text("source", "Source"),
        Column("first_seen", "First seen", "customer__facts__first_seen_at"),
        Column("last_activity", "Last activity", "customer__facts__last_activity_at", is_default=True),
        Column("visits", "Visits", "customer__facts__session_count", is_number=True),
        _money("cart", "Cart", "cart_value"),
        Column("entered", "In since", "entered_at", is_default=True),
        Column("id", "Customer id", "customer__readable_id", F("customer__customer_id"), is_personal=True),
    )
}
# fmt: on
_NAMING: Final = (
    *(f"customer__{name}" for name in ("customer_id", "email", "phone", "first_name", "last_name", "source")),
    *(f"customer__facts__{name}" for name in ("session_count", "order_count")),
)
"""What names and ids are made of."""


def stored_fields(columns: Iterable[Column], *, is_masked: bool) -> set[str]:
    """Return the fields that the columns read: the others of a hundred thousand customers would take most of the time.

    A mask reads more of a customer, whatever the columns are.
    """
    shown = {column.field for column in columns} - {"customer__name", "customer__readable_id"}
    masked = {"customer__city", "customer__attributes"} if is_masked else set()
    return {"customer_id", "segment_id", *_NAMING, *shown, *masked}


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
