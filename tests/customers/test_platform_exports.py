"""Exports of shop systems and newsletter services are known by their headers. The samples are made up."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from customers.models import Customer, Order, OrderLine
from tests.support import shop

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Import an export by the command."""

    def imported(text: str, *options: str) -> str:
        path = tmp_path / "export.csv"
        path.write_text(text, encoding="utf-8-sig")
        return shop.command("import_csv", "auto", path, *options)

    return imported


def people(*columns: str) -> list[tuple[Any, ...]]:
    return list(Customer.objects.order_by("email").values_list(*columns))


def sold(*columns: str) -> list[tuple[Any, ...]]:
    return list(Order.objects.order_by("order_id").values_list(*columns))


def lines(*columns: str) -> list[tuple[Any, ...]]:
    return list(OrderLine.objects.order_by("order__order_id", "key").values_list("order__order_id", *columns))


# -- WooCommerce


def test_customers_of_woocommerce_analytics(run) -> None:
    run(
        "Name,Username,Last active,Sign up,Email,Orders,Total spend,AOV,Country / Region,City,Region,Postal code\n"
        "Ada Lovelace,ada,2026-03-30 10:00:00,2025-11-02 08:15:00,ada@example.org,3,120.50,40.17,IT,Torino,TO,10121\n"
        "Bo Li,,2026-01-05 09:00:00,,bo@example.org,1,12.00,12.00,FR,Lyon,,69001\n"
    )

    assert people("customer_id", "first_name", "last_name", "country", "city") == [
        ("ada@example.org", "Ada", "Lovelace", "IT", "Torino"),
        ("bo@example.org", "Bo", "Li", "FR", "Lyon"),
    ]
    ada = Customer.objects.get(email="ada@example.org")
    assert ada.first_seen == datetime(2025, 11, 2, 8, 15, tzinfo=UTC)
    assert (ada.newsletter, ada.attributes) == ("never", {"Region": "TO"})


def test_orders_of_woocommerce_with_a_row_for_each_item(run) -> None:
    header = (
        "order_id,order_number,date,status,shipping_total,cart_discount,discount_total,order_total,refunded_total,"
        "order_currency,payment_method,customer_id,billing_first_name,billing_last_name,billing_email,billing_phone,"
        "billing_city,billing_country,item_id,item_name,item_sku,item_quantity,item_total,coupons\n"
    )
    first = "77,1077,2026-03-31 18:30:00,completed,5.00,0,2.50,47.50,0,EUR,stripe,12,Ada,Lovelace,ada@example.org,"
    guest = "78,1078,2026-04-01 09:00:00,on-hold,0,0,0,9.00,0,EUR,bacs,0,Bo,Li,bo@example.org,"
    text = (
        f"{header}{first},Torino,IT,1,Scarf,S-1,2,30.00,SPRING\n{first},Torino,IT,2,Hat,H-1,1,15.00,SPRING\n"
        f"{guest},Lyon,FR,3,Sock,,3,9.00,\n"
    )

    for _ in range(2):
        run(text)

    assert sold("order_id", "customer__customer_id", "status", "total", "discount_total", "coupon_code") == [
        ("1077", "12", "fulfilled", Decimal("47.5"), Decimal("2.5"), "SPRING"),
        ("1078", "bo@example.org", "pending", Decimal(9), 0, ""),
    ]
    assert lines("sku", "name", "quantity", "unit_price") == [
        ("1077", "S-1", "Scarf", 2, 15),
        ("1077", "H-1", "Hat", 1, 15),
        ("1078", "Sock", "Sock", 3, 3),
    ]
    shop.assert_facts_are_those_of_the_records()


def test_orders_of_the_advanced_order_export(run) -> None:
    run(
        "Order Number,Order Status,Order Date,Customer Note,First Name (Billing),Last Name (Billing),"
        "City (Billing),Country Code (Billing),Email (Billing),Phone (Billing),Cart Discount Amount,"
        "Order Refund Amount,Order Total Amount,SKU,Item #,Item Name,Quantity (- Refund),Item Cost,Coupon Code\n"
        "501,Processing,2026-03-31 18:30,,Ada,Lovelace,Torino,IT,ada@example.org,333 1234567,0,5,"
        "40,S-1,1,Scarf,2,17.5,\n"
        "501,Processing,2026-03-31 18:30,,Ada,Lovelace,Torino,IT,ada@example.org,333 1234567,0,5,40,H-1,2,Hat,1,5,\n"
    )

    assert sold("order_id", "status", "total", "refunded_total") == [("501", "paid", 40, 5)]
    assert people("email", "phone") == [("ada@example.org", "+393331234567")]
    assert len(lines("sku")) == 2


def test_orders_of_the_import_and_export_suite_ask_for_the_order_of_dates(run) -> None:
    header = "order_id,order_number,order_date,status,order_total,order_currency,customer_id,customer_email\n"
    text = f"{header}9,9,9/6/2026  6:29:00,completed,12.00,EUR,4,ada@example.org\n"

    with pytest.raises(CommandError, match="such as 9/6/2026"):
        run(text)
    run(text, "--dates", "mdy")

    assert sold("order_id", "placed_at", "status") == [
        ("9", datetime(2026, 9, 6, 6, 29, tzinfo=UTC), "fulfilled")
    ]


# -- PrestaShop


@pytest.mark.parametrize(
    "header",
    [
        "ID;Title;Last name;First Name;Email address;Age;Enabled;News.;Opt.;Registration;Last visit;",
        "ID;Social title;Last name;First name;Email address;Sales;Enabled;Newsletter;Partner offers;"
        "Registration;Last visit;",
    ],
)
def test_customers_of_prestashop(header, run) -> None:
    shop.customers("3,cy@example.org,subscribed", header="customer_id,email,newsletter")

    run(
        f"{header}\n"
        "2;1;Gorred;Francis;fg@example.org;-;1;0;0;2013-07-04 15:20:02;2013-07-04 15:18:50;\n"
        "1;1;DOE;John;jd@example.org;43;1;1;1;2013-07-02 17:36:07;2013-07-03 16:04:15;\n"
        "3;1;Cy;Li;cy@example.org;43;1;0;1;2013-07-02 17:36:07;;\n"
    )

    # “0” is also that of customers who were never asked, so it only ends a subscription.
    assert people("customer_id", "first_name", "last_name", "newsletter") == [
        ("3", "Li", "Cy", "unsubscribed"),
        ("2", "Francis", "Gorred", "never"),
        ("1", "John", "DOE", "subscribed"),
    ]
    assert Customer.objects.get(customer_id="2").first_seen == datetime(2013, 7, 4, 15, 20, 2, tzinfo=UTC)


def test_customers_of_a_french_prestashop_are_known_by_the_names_of_columns(run) -> None:
    run(
        "ID;Titre de civilité;Prénom;Nom;Adresse e-mail;Ventes;Activé;Newsletter;Offres partenaires;Inscription\n"
        "7;Mme;Zoé;Lefèvre;zoe@example.org;12,50 €;1;1;0;31/03/2026 18:30:00\n"
    )

    zoe = Customer.objects.get()
    assert (zoe.customer_id, zoe.first_name, zoe.last_name) == ("7", "Zoé", "Lefèvre")
    assert (zoe.newsletter, zoe.first_seen) == ("subscribed", datetime(2026, 3, 31, 18, 30, tzinfo=UTC))


def test_orders_of_prestashop_by_the_sql_manager(run) -> None:
    header = (
        "id_order;reference;id_customer;email;firstname;lastname;total_paid;total_discounts;date_add;order_state;"
        "product_reference;product_name;product_quantity;unit_price_tax_incl\n"
    )
    order = (
        "5;XKBKNABJK;2;fg@example.org;Francis;Gorred;61.800000;0.000000;2026-03-31 18:30:00;Paiement accepté;"
    )

    run(f"{header}{order}D-1;Mug;2;14.280000\n{order}D-2;Poster;1;33.240000\n")

    assert sold("order_id", "customer__customer_id", "status", "total") == [
        ("XKBKNABJK", "2", "paid", Decimal("61.8"))
    ]
    assert lines("sku", "quantity", "unit_price") == [
        ("XKBKNABJK", "D-1", 2, Decimal("14.28")),
        ("XKBKNABJK", "D-2", 1, Decimal("33.24")),
    ]


def test_the_list_of_orders_of_prestashop_is_refused_with_what_to_do(run) -> None:
    with pytest.raises(CommandError, match=r"does not say whose orders these are.*SQL Manager"):
        run(
            "ID;Reference;New client;Delivery;Customer;Total;Payment;Status;Date\n"
            "5;XKBKNABJK;1;France;F. GORRED;€61.80;Bank wire;Shipped;2026-03-31 18:30:00\n"
        )


# -- Magento


def test_customers_of_magento(run) -> None:
    run(
        '"ID","Name","Email","Group","Phone","ZIP","Country","State/Province","Customer Since","Web Site",'
        '"Confirmed email","Account Created in","Billing Address","Date of Birth","Tax VAT Number","Gender"\n'
        '"1","Veronica Costello","roni@example.org","General","(555) 229-3326","49628","United States","Michigan",'
        '"Mar 31, 2026 6:30:00 PM","Main Website","Confirmation Not Required","Default Store View",'
        '"6146 Honey Bluff Parkway","Dec 15, 1973","","Female"\n'
    )

    [roni] = Customer.objects.all()
    assert (roni.customer_id, roni.first_name, roni.last_name) == ("1", "Veronica", "Costello")
    assert (roni.first_seen, roni.birth_date) == (
        datetime(2026, 3, 31, 18, 30, tzinfo=UTC),
        date(1973, 12, 15),
    )
    assert roni.attributes == {"Group": "General", "Web Site": "Main Website", "Gender": "Female"}


def test_the_main_file_of_customers_of_magento_brings_no_passwords(run) -> None:
    run(
        "email,_website,_store,confirmation,created_at,created_in,disable_auto_group_change,dob,firstname,gender,"
        "group_id,lastname,middlename,password_hash,prefix,rp_token,store_id,suffix,taxvat,website_id,password\n"
        "roni@example.org,base,default,,2026-03-31 18:30:00,Default Store View,0,1973-12-15,"
        "Veronica,Female,1,Costello,,"
        "secret-hash,,token,1,,,1,\n"
    )

    [roni] = Customer.objects.all()
    assert (roni.first_name, roni.last_name, roni.birth_date) == ("Veronica", "Costello", date(1973, 12, 15))
    assert "secret-hash" not in str(roni.attributes)


def test_orders_of_magento(run) -> None:
    header = (
        '"ID","Purchase Point","Purchase Date","Bill-to Name","Ship-to Name","Grand Total (Base)",'
        '"Grand Total (Purchased)","Status","Billing Address","Customer Email","Total Refunded"\n'
    )
    point = '"Main Website","Mar 31, 2026 6:30:00 PM","Veronica Costello","Veronica Costello"'

    run(
        f'{header}"000000001",{point},"36.39","36.39","Processing","6146 Honey","roni@example.org",""\n'
        f'"000000002",{point},"39.64","39.64","Closed","6146 Honey","roni@example.org","39.64"\n'
        f'"000000003",{point},"5.00","5.00","On Hold","6146 Honey","roni@example.org",""\n'
    )

    assert sold("order_id", "status", "total", "refunded_total") == [
        ("000000001", "paid", Decimal("36.39"), 0),
        ("000000002", "refunded", Decimal("39.64"), Decimal("39.64")),
        ("000000003", "pending", 5, 0),
    ]
    assert people("customer_id", "first_name") == [("roni@example.org", "Veronica")]


# -- Newsletter services

MAILCHIMP = (
    '"Email Address","First Name","Last Name",Address,"Phone Number",MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,'
    "CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,{}LAST_CHANGED,LEID,EUID,NOTES,TAGS\n"
)


def test_subscribed_contacts_of_mailchimp(run) -> None:
    run(
        MAILCHIMP.format("")
        + 'ada@example.org,Ada,Lovelace,"Via Po 1","+39 333 1234567",4,,,"2026-03-31 18:30:00",203.0.113.9,45.07,'
        "7.68,1,2,"
        'Europe/Rome,IT,21,"2026-04-01 08:00:00",1,abc,,"""vip"",""torino"""\n'
        'bo@example.org,Bo,Li,,,2,,,,,,,,,,,,"2026-04-01 08:00:00",2,abd,,\n'
    )

    ada, bo = Customer.objects.order_by("email")
    assert (ada.newsletter, ada.subscribed_at) == ("subscribed", datetime(2026, 3, 31, 18, 30, tzinfo=UTC))
    assert (ada.country, ada.phone, ada.attributes) == ("IT", "+393331234567", {"tags": ["vip", "torino"]})
    # Without a confirmation, nobody knows what the contact wants.
    assert (bo.newsletter, bo.first_name) == ("never", "Bo")


@pytest.mark.parametrize(
    "columns",
    ["UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_CAMPAIGN_ID,UNSUB_REASON,UNSUB_REASON_OTHER,", "CLEAN_TIME,"],
)
def test_unsubscribed_and_cleaned_contacts_of_mailchimp(columns, run) -> None:
    shop.customers("c1,ada@example.org,subscribed", header="customer_id,email,newsletter")
    rest = "," * (columns.count(",") - 1)

    run(
        MAILCHIMP.format(columns) + 'ada@example.org,Ada,Lovelace,,,2,,,"2026-03-31 18:30:00",,,,,,,,,'
        f'"2026-04-02 10:00:00"{rest},"2026-04-02 10:00:00",1,abc,,\n'
    )

    assert people("customer_id", "newsletter") == [("c1", "unsubscribed")]


def test_profiles_of_klaviyo(run) -> None:
    shop.customers("c3,cy@example.org,subscribed", header="customer_id,email,newsletter")

    run(
        "Email,Klaviyo ID,First Name,Last Name,Organization,Phone Number,Address,City,State / Region,Country,Zip Code,"
        "Email Marketing Consent,SMS Marketing Consent,Profile Created On,Loyalty\n"
        "ada@example.org,01A,Ada,Lovelace,,+393331234567,Via Po 1,Torino,TO,Italy,10121,SUBSCRIBED,,"
        "2026-03-31 18:30:00,gold\n"
        "bo@example.org,01B,Bo,Li,,,,,,,,UNSUBSCRIBED,,2026-03-31 18:30:00,\n"
        "cy@example.org,01C,Cy,Ng,,,,,,,,NEVER_SUBSCRIBED,,2026-03-31 18:30:00,\n"
    )

    assert people("email", "newsletter") == [
        ("ada@example.org", "subscribed"),
        ("bo@example.org", "unsubscribed"),
        # Klaviyo never asked, but the shop did.
        ("cy@example.org", "subscribed"),
    ]
    ada = Customer.objects.get(email="ada@example.org")
    assert (ada.city, ada.phone, ada.attributes) == (
        "Torino",
        "+393331234567",
        {"Loyalty": "gold", "State / Region": "TO"},
    )


# -- Shopify


def test_an_export_of_shopify_that_excel_saved_again_is_read(run) -> None:
    run(
        "Name;Email;Financial Status;Fulfillment Status;Currency;Subtotal;Total;Discount Amount;Created at;"
        "Lineitem quantity;Lineitem name;Lineitem price;Lineitem sku\n"
        "#1001;ada@example.org;paid;fulfilled;EUR;25,50;25,50;0,00;31/03/2026 18:30;2;Scarf;10,00;S-1\n"
        "#1001;ada@example.org;;;;;;;31/03/2026 18:30;1;Hat;5,50;H-1\n"
    )

    assert sold("order_id", "status", "total") == [("#1001", "fulfilled", Decimal("25.5"))]
    assert lines("sku", "unit_price") == [("#1001", "H-1", Decimal("5.5")), ("#1001", "S-1", 10)]
