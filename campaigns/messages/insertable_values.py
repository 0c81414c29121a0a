"""The values that the editor offers to insert into a message, with the fallback that it proposes."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class InsertableValue:
    """A value: ``path`` and ``filters`` are Liquid. ``fallback`` is proposed for customers who lack the value."""

    group: str
    label: str
    path: str
    filters: str = ""
    fallback: str = ""
    always_there: bool = False
    is_open: bool = False
    """Whether staff add a name to the path."""
    help: str = ""


CUSTOMER, ORDERS, COUPON, SHOP, OTHER = "Customer", "Orders", "Coupon", "Shop", "Other"

VALUES: Final = (
    InsertableValue(CUSTOMER, "First name", "first_name", fallback="there"),
    InsertableValue(CUSTOMER, "Last name", "last_name", fallback="customer"),
    InsertableValue(CUSTOMER, "Whole name", "name", fallback="customer"),
    InsertableValue(CUSTOMER, "E-mail address", "email"),
    InsertableValue(CUSTOMER, "City", "city", fallback="your city"),
    InsertableValue(CUSTOMER, "Country", "country", fallback="your country"),
    InsertableValue(CUSTOMER, "Language", "language", fallback="your language"),
    InsertableValue(CUSTOMER, "Date of birth", "birth_date", "date", fallback="your birthday"),
    InsertableValue(
        CUSTOMER,
        "Attribute …",
        "attributes.",
        is_open=True,
        help="Another value that your shop sends, such as tier.",
    ),
    InsertableValue(ORDERS, "Number of orders", "order_count", always_there=True),
    InsertableValue(ORDERS, "Total spent", "total_spent", "money", always_there=True),
    InsertableValue(ORDERS, "Number of the last order", "last_order.number", fallback="your order"),
    InsertableValue(ORDERS, "Date of the last order", "last_order.date", "date", fallback="last time"),
    InsertableValue(ORDERS, "Total of the last order", "last_order.total", "money", fallback="your order"),
    InsertableValue(COUPON, "Coupon code", "coupon", always_there=True, help="The customer's own code."),
    InsertableValue(COUPON, "What the coupon is worth", "coupon_worth", fallback="a discount"),
    InsertableValue(COUPON, "Last day of the coupon", "coupon_last_day", "date", fallback="soon"),
    InsertableValue(SHOP, "Name of the shop", "shop.name", always_there=True),
    InsertableValue(SHOP, "Home page of the shop", "shop.url", always_there=True),
    InsertableValue(SHOP, "Address of the shop", "shop.address", fallback="our shop"),
    InsertableValue(OTHER, "Day of sending", '"now"', "date", always_there=True),
    InsertableValue(
        OTHER,
        "Text asked before the start …",
        "answers.",
        is_open=True,
        always_there=True,
        help="You write it when you start the campaign.",
    ),
    InsertableValue(OTHER, "Link to unsubscribe", "unsubscribe_url", always_there=True),
)

CONDITIONS: Final = (
    ("", "everybody"),
    ("cart", "customers with a full cart"),
    ("viewed", "customers who viewed products"),
    ("bought", "customers who have ordered"),
    ("recommended", "customers with recommendations"),
    ("first_name", "customers with a first name"),
    ("birth_date", "customers with a date of birth"),
    ("coupon_worth", "customers, if the coupon has a worth"),
    ("coupon_last_day", "customers, if the coupon has a last day"),
)
"""Values that decide who sees a block (``shown_if``)."""
