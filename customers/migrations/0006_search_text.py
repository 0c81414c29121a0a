"""Names without accents, and the text that customers are searched by, with an index.

The index serves a search for any part of a word. On PostgreSQL it is one of trigrams if the extension pg_trgm can be
created, for which an owner of the database needs no superuser. Otherwise, and on SQLite, a search reads the index from
its beginning to its end. It contains only customers with a name or an e-mail address.
"""

import re

from anyascii import anyascii
from django.db import DatabaseError, migrations, models, transaction

BATCH = 2_000


def unaccent(text):
    """Return a name as ``core.values.unaccent`` did in this version."""
    folded = (text if text.isascii() else anyascii(text)).lower()
    return re.sub(r"[\s,;()-]+", " ", re.sub(r"['`]", "", folded)).strip()[:255]


def fill_search_text(apps, schema_editor):
    customers = apps.get_model("customers", "Customer").objects
    known = customers.exclude(first_name="", last_name="", email="").order_by("pk")
    last = 0
    while batch := known.filter(pk__gt=last).values_list("pk", "first_name", "last_name", "email_folded")[:BATCH]:
        rows = []
        for last, *names, email in batch:
            first_name, last_name = map(unaccent, names)
            search_text = "".join(f" {text}" for text in (first_name, last_name, email) if text)
            rows.append((first_name, last_name, search_text, last))
        with schema_editor.connection.cursor() as cursor:
            cursor.executemany(
                """UPDATE customers_customer
                   SET first_name_unaccented = %s, last_name_unaccented = %s, search_text = %s WHERE id = %s""",
                rows,
            )


def use_trigrams(apps, schema_editor):
    if _has_trigrams(schema_editor):
        schema_editor.execute("DROP INDEX customers_by_search_text")
        schema_editor.execute(
            """CREATE INDEX customers_by_search_text ON customers_customer
               USING gin (search_text gin_trgm_ops) WHERE search_text > ''"""
        )


def _has_trigrams(schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return False
    try:
        with transaction.atomic(using=schema_editor.connection.alias):
            schema_editor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DatabaseError:  # it is not installed on the server, or the user may not create it
        return False
    return True


class Migration(migrations.Migration):
    dependencies = [("customers", "0005_partial_totals")]

    operations = [
        migrations.AddField(
            "customer",
            "first_name_unaccented",
            models.CharField(blank=True, db_default="", default="", editable=False, max_length=255),
        ),
        migrations.AddField(
            "customer",
            "last_name_unaccented",
            models.CharField(blank=True, db_default="", default="", editable=False, max_length=255),
        ),
        migrations.AddField(
            "customer",
            "search_text",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="The name and the e-mail address, each part after a space.",
                max_length=1320,
            ),
        ),
        migrations.RunPython(fill_search_text, migrations.RunPython.noop),
        migrations.AddIndex(
            "customer",
            models.Index(
                condition=models.Q(("search_text__gt", "")),
                fields=["search_text", "id"],
                name="customers_by_search_text",
            ),
        ),
        migrations.RunPython(use_trigrams, migrations.RunPython.noop),
    ]
