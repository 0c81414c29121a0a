"""Keep how many pieces lie in a cart: an emptied cart is no cart. Quantities are read from the events there are."""

from decimal import Decimal, InvalidOperation

from django.db import migrations, models

import customers.exact

AT_ONCE = 5_000
CART = ("Product Added", "Product Removed")


def _units(value):
    """Return a quantity in ten-thousandths, None where it is 1 or no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(value if isinstance(value, str) else repr(value))
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number) > customers.exact.LARGEST:
        return None
    if isinstance(value, str) and "e" in value.lower():
        return None
    units = customers.exact.to_units(number)
    return None if units == customers.exact.SCALE else units


def read_quantities(apps, schema_editor):
    events = apps.get_model("customers", "Event").objects.filter(name__in=CART)
    after = 0
    while rows := list(
        events.filter(pk__gt=after).order_by("pk").values_list("pk", "properties")[:AT_ONCE]
    ):
        after = rows[-1][0]
        given = ((_units(properties.get("quantity")), key) for key, properties in rows)
        changed = [(units, key) for units, key in given if units is not None]
        if changed:
            with schema_editor.connection.cursor() as cursor:
                cursor.executemany("UPDATE customers_event SET product_quantity = %s WHERE id = %s", changed)


def sum_up_again(apps, schema_editor):
    # Those with a cart: nobody else's answers change.
    schema_editor.execute(
        """INSERT INTO customers_stalefacts (customer_id, joined)
           SELECT customer_id, false FROM customers_facts WHERE last_added_at IS NOT NULL
           UNION SELECT customer_id, false FROM customers_appendedevent"""
    )


class Migration(migrations.Migration):
    dependencies = [("customers", "0017_encrypt_signing_secrets")]

    operations = [
        migrations.AddField(
            "event",
            "product_quantity",
            customers.exact.ExactDecimalField(
                blank=True,
                help_text="How many of the product; missing where it is 1, or not told.",
                null=True,
            ),
        ),
        migrations.AddField(
            "appendedevent", "product_quantity", customers.exact.ExactDecimalField(null=True)
        ),
        migrations.AddField("facts", "cart_quantity", models.BigIntegerField(default=0)),
        migrations.RunPython(read_quantities, migrations.RunPython.noop),
        migrations.RunPython(sum_up_again, migrations.RunPython.noop),
    ]
