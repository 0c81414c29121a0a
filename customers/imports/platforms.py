"""Exports of shop systems and newsletter services, known by their headers.

The columns are those that the makers document. Columns that are not listed become attributes of customers if the
export is about customers, or are left out if they are in ``skipped``: as little personal data as possible is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .dialects import ATTRIBUTE, SKIP
from .formats import column_key


@dataclass(frozen=True)
class Platform:
    """One export: the columns that tell it from others, the format it is read as, and the field of each column."""

    name: str
    kind: str
    required: frozenset[str]
    fields: Mapping[str, str]
    skipped: frozenset[str] = field(default_factory=frozenset)
    keeps_others: bool = True
    date_order: str = ""
    refused: str = ""

    def fits(self, keys: frozenset[str]) -> bool:
        return {column_key(name) for name in self.required} <= keys

    def mapping(self, columns: Sequence[str]) -> dict[str, str]:
        """Return the field of each column of a file. Of several columns with ids, the first one listed counts."""
        keys = set(map(column_key, columns))
        present = [
            (column_key(name), target) for name, target in self.fields.items() if column_key(name) in keys
        ]
        targets = [target for _, target in present]
        fields = {
            key: SKIP if target in _IDS and target in targets[:place] else target
            for place, (key, target) in enumerate(present)
        }
        skipped = {column_key(name) for name in self.skipped}
        other = ATTRIBUTE if self.kind == "contacts" and self.keeps_others else SKIP

        def target(column: str) -> str:
            key = column_key(column)
            return fields.get(key, SKIP if key in skipped or not column else other)

        return {column: target(column) for column in columns}


_IDS: Final = frozenset({"order_id", "customer_id"})
_ADDRESS: Final = frozenset(
    {
        "Address",
        "Address 1",
        "Address 2",
        "Address1",
        "Address2",
        "Street",
        "ZIP",
        "Zip Code",
        "Postcode",
        "Postal code",
    }
)
_MAILCHIMP_TECHNICAL: Final = frozenset(
    {
        "MEMBER_RATING",
        "OPTIN_TIME", "OPTIN_IP", "CONFIRM_IP", "LATITUDE", "LONGITUDE", "GMTOFF", "DSTOFF", "TIMEZONE",
        "REGION", "LAST_CHANGED", "LEID", "EUID", "NOTES", "UNSUB_CAMPAIGN_TITLE", "UNSUB_CAMPAIGN_ID", "UNSUB_REASON",
        "UNSUB_REASON_OTHER", "CLEAN_CAMPAIGN_TITLE", "CLEAN_CAMPAIGN_ID",
    }
)  # fmt: skip

PLATFORMS: Final = (
    # WooCommerce › Analytics › Customers › Download
    Platform(
        "WooCommerce: customers (Analytics)",
        "contacts",
        frozenset({"Name", "Username", "Last active", "Email", "Total spend", "AOV"}),
        {
            "Name": "full_name", "Email": "email", "Country / Region": "country", "Country": "country", "City": "city",
            "Sign up": "first_seen", "Date registered": "first_seen",
        },
        _ADDRESS | {"Username", "Last active", "Orders", "Total spend", "AOV"},
    ),
    # “Customer / Order / Coupon Export”, the extension of WooCommerce: default format, one row per item or per order
    Platform(
        "WooCommerce: orders (Customer/Order/Coupon Export)",
        "sales",
        frozenset({"order_number", "order_currency", "billing_email", "order_total"}),
        {
            "order_number": "order_id", "date": "placed_at", "order_date": "placed_at", "status": "status",
            "order_total": "total", "discount_total": "discount_total", "refunded_total": "refunded_total",
            "order_currency": "currency", "coupons": "coupon_code", "customer_id": "customer_id",
            "billing_email": "email", "customer_email": "email", "billing_phone": "phone",
            "billing_first_name": "first_name", "billing_last_name": "last_name", "billing_city": "city",
            "billing_country": "country", "item_sku": "sku", "item_name": "product_name",
            "item_quantity": "quantity", "item_total": "line_total", "item_id": "line_id",
        },
    ),
    Platform(
        "WooCommerce: customers (Customer/Order/Coupon Export)",
        "contacts",
        frozenset({"customer_id", "user_login", "email", "date_registered", "billing_first_name"}),
        {
            "customer_id": "customer_id", "email": "email", "first_name": "first_name", "last_name": "last_name",
            "billing_first_name": "first_name", "billing_last_name": "last_name", "billing_phone": "phone",
            "billing_city": "city", "billing_country": "country", "date_registered": "first_seen",
        },
        keeps_others=False,
    ),
    # “Advanced Order Export For WooCommerce”
    Platform(
        "WooCommerce: orders (Advanced Order Export)",
        "sales",
        frozenset({"Order Number", "Order Status", "Order Date", "Email (Billing)", "Order Total Amount"}),
        {
            "Order Number": "order_id", "Order Date": "placed_at", "Order Status": "status",
            "Order Total Amount": "total", "Discount Amount": "discount_total",
            "Cart Discount Amount": "discount_total",
            "Order Refund Amount": "refunded_total", "Order Currency": "currency", "Coupon Code": "coupon_code",
            "Customer User ID": "customer_id", "Email (Billing)": "email", "Phone (Billing)": "phone",
            "First Name (Billing)": "first_name", "Last Name (Billing)": "last_name", "City (Billing)": "city",
            "Country Code (Billing)": "country", "SKU": "sku", "Item Name": "product_name",
            "Quantity (- Refund)": "quantity", "Quantity": "quantity", "Item Cost": "unit_price",
            "Category": "category",
        },
    ),
    # “Import Export Suite”, “Order Export & Order Import”
    Platform(
        "WooCommerce: orders (Order Export & Import)",
        "sales",
        frozenset({"order_number", "order_date", "order_total", "customer_email"}),
        {
            "order_number": "order_id", "order_date": "placed_at", "status": "status", "order_total": "total",
            "discount_total": "discount_total", "order_currency": "currency", "customer_id": "customer_id",
            "customer_email": "email", "billing_email": "email", "billing_phone": "phone",
            "billing_first_name": "first_name", "billing_last_name": "last_name", "billing_city": "city",
            "billing_country": "country",
        },
    ),
    # PrestaShop › Customers › Export; the names of columns since 1.5
    *(
        Platform(
            "PrestaShop: customers",
            "contacts",
            frozenset({"ID", "Last name", "First name", "Email address", "Enabled", newsletter, "Registration"}),
            {
                "ID": "customer_id", "First name": "first_name", "Last name": "last_name", "Email address": "email",
                newsletter: "accepts_newsletter", "Registration": "first_seen",
            },
            frozenset({"Title", "Social title", "Age", "Enabled", "Opt.", "Partner offers", "Sales", "Last visit"}),
        )
        for newsletter in ("Newsletter", "News.")
    ),
    # PrestaShop › Orders › Export does not say whose orders they are.
    Platform(
        "PrestaShop: list of orders",
        "sales",
        frozenset({"Reference", "New client", "Delivery", "Customer", "Total", "Payment", "Status", "Date"}),
        {
            "Reference": "order_id", "Customer": "full_name", "Total": "total", "Status": "status", "Date": "placed_at",
        },
        refused="this list of PrestaShop does not say whose orders these are: it has names, but no ids and no e-mail"
        " addresses. Export the orders with the SQL Manager (Advanced Parameters › Database), with the columns"
        " reference, id_customer, total_paid, date_add and email",
    ),
    # PrestaShop › Advanced Parameters › SQL Manager: the columns of the tables of orders, customers and details
    Platform(
        "PrestaShop: orders (SQL Manager)",
        "sales",
        frozenset({"id_order", "id_customer", "total_paid", "date_add"}),
        {
            "reference": "order_id", "id_order": "order_id", "id_customer": "customer_id", "email": "email",
            "firstname": "first_name", "lastname": "last_name", "date_add": "placed_at",
            "total_paid_tax_incl": "total", "total_paid": "total", "total_discounts_tax_incl": "discount_total",
            "total_discounts": "discount_total", "iso_code": "currency", "order_state": "status", "state": "status",
            "product_reference": "sku", "product_name": "product_name", "product_quantity": "quantity",
            "unit_price_tax_incl": "unit_price", "id_order_detail": "line_id",
        },
    ),
    # Magento › Customers › All Customers › Export
    Platform(
        "Magento: customers",
        "contacts",
        frozenset({"ID", "Name", "Email", "Group", "Customer Since", "Web Site"}),
        {
            "ID": "customer_id", "Name": "full_name", "Email": "email", "Phone": "phone", "Country": "country",
            "Customer Since": "first_seen", "Date of Birth": "birth_date", "Group": ATTRIBUTE, "Web Site": ATTRIBUTE,
            "Gender": ATTRIBUTE,
        },
        keeps_others=False,
    ),
    # Magento › System › Export › Customers Main File
    Platform(
        "Magento: customers (main file)",
        "contacts",
        frozenset({"email", "_website", "_store", "created_at", "firstname", "lastname", "group_id"}),
        {
            "email": "email", "firstname": "first_name", "lastname": "last_name", "created_at": "first_seen",
            "dob": "birth_date", "gender": ATTRIBUTE, "group_id": ATTRIBUTE, "_website": ATTRIBUTE,
        },
        keeps_others=False,
    ),
    # Magento › Sales › Orders › Export
    Platform(
        "Magento: orders",
        "sales",
        frozenset({"ID", "Purchase Point", "Purchase Date", "Bill-to Name", "Grand Total (Purchased)", "Status"}),
        {
            "ID": "order_id", "Purchase Date": "placed_at", "Bill-to Name": "full_name", "Customer Email": "email",
            "Grand Total (Purchased)": "total", "Total Refunded": "refunded_total", "Status": "status",
        },
    ),
    # Mailchimp › Audience › Export: one file each for subscribed, unsubscribed, non-subscribed and cleaned contacts
    Platform(
        "Mailchimp: contacts",
        "contacts",
        frozenset({"Email Address", "MEMBER_RATING", "LEID", "EUID", "LAST_CHANGED"}),
        {
            "Email Address": "email", "First Name": "first_name", "Last Name": "last_name", "Phone Number": "phone",
            "Phone": "phone", "Birthday": SKIP, "CONFIRM_TIME": "confirmed_at", "UNSUB_TIME": "unsubscribed_at",
            "CLEAN_TIME": "unsubscribed_at", "CC": "country", "TAGS": "tags",
        },
        _MAILCHIMP_TECHNICAL | {"Address", "Birthday"},
    ),
    # Klaviyo › Lists & Segments › Export
    Platform(
        "Klaviyo: profiles",
        "contacts",
        frozenset({"Email", "First Name", "Last Name", "Email Marketing Consent"}),
        {
            "Email": "email", "First Name": "first_name", "Last Name": "last_name", "Phone Number": "phone",
            "City": "city", "Country": "country", "Email Marketing Consent": "newsletter", "Source": "source",
            "Initial Source": "source", "Profile Created On": "first_seen", "Date Added": "first_seen",
            "Email Suppressions": SKIP,
        },
        _ADDRESS
        | {
            "Klaviyo ID", "Profile ID", "Latitude", "Longitude", "IP Address", "Timezone", "Email Suppressions",
            "Email Suppressions Timestamp",
            "SMS Marketing Consent", "First Active", "Last Active", "Last Open", "Last Click",
            "Email Marketing Consent Timestamp",
        },
    ),
)  # fmt: skip


def known_platform(columns: Sequence[str]) -> Platform | None:
    """Return the export with these columns; of several, the one with the most columns that tell it apart."""
    keys = frozenset(map(column_key, columns))
    fitting = [platform for platform in PLATFORMS if platform.fits(keys)]
    return max(fitting, key=lambda platform: len(platform.required), default=None)
