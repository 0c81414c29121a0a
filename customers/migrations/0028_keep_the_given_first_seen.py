"""Keep when a file or the API says that customers were first seen, beside what messages tell of it."""

from django.db import migrations, models

FILL = """
    UPDATE customers_customer SET first_seen_given = first_seen
    WHERE first_seen IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM customers_identity i JOIN customers_traits t ON t.identity_id = i.id
        WHERE i.customer_id = customers_customer.id)
"""


class Migration(migrations.Migration):
    dependencies = [("customers", "0027_count_confirmations_by_mailbox")]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="first_seen_given",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="What a file or the API gave; a message may tell of an earlier moment.",
                null=True,
            ),
        ),
        # Of whom messages told, it is not known which of the two the column holds; the next file says it.
        migrations.RunSQL(FILL, migrations.RunSQL.noop, elidable=True),
    ]
