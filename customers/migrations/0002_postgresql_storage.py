"""How PostgreSQL stores the tables of customers. SQLite keeps them as Django creates them.

* The primary key begins with the customer, so that the tables can be distributed by customer. It replaces indexes with
  the same first columns.
* Foreign keys to the customer are checked by each statement, not at the end of the transaction.
* Events are partitioned by month.
* The pages of facts keep room, so that an updated row stays in its page.
"""

from django.db import migrations

PRIMARY_KEYS = {
    "order": "customer_id, placed_at, id",
    "orderline": "customer_id, id",
    "eventproduct": "customer_id, event_id, id",
    **dict.fromkeys(
        ("consentchange", "datedattribute", "stalefacts", "appendedevent", "appendedorder", "touched"),
        "customer_id, id",
    ),
}
CHECKED = ("order", "orderline", "eventproduct", "consentchange", "datedattribute", "facts", "upcoming")


def store_by_customer(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for name, columns in PRIMARY_KEYS.items():
        table = f"customers_{name}"
        for index in _constraints(schema_editor, table, lambda one: _is_served(one, columns)):
            schema_editor.execute(f'DROP INDEX "{index}"')
        schema_editor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY ({columns})")
    for name in CHECKED:
        for key in _constraints(schema_editor, f"customers_{name}", lambda one: one["foreign_key"]):
            schema_editor.execute(f'ALTER TABLE customers_{name} ALTER CONSTRAINT "{key}" NOT DEFERRABLE')
    for statement in PARTITION_EVENTS:
        schema_editor.execute(statement)
    schema_editor.execute("ALTER TABLE customers_facts SET (fillfactor = 75)")


def _is_served(constraint, primary_key):
    """Return whether the primary key serves the same queries as an index."""
    is_index = constraint["index"] and not constraint["unique"]
    return is_index and f"{primary_key}, ".startswith(", ".join(constraint["columns"]) + ", ")


def _constraints(schema_editor, table, is_meant):
    with schema_editor.connection.cursor() as cursor:
        found = schema_editor.connection.introspection.get_constraints(cursor, table)
    return [name for name, one in found.items() if is_meant(one)]


PARTITION_EVENTS = (
    "ALTER TABLE customers_event RENAME TO events_of_django",
    """CREATE TABLE customers_event (LIKE events_of_django INCLUDING DEFAULTS)
       PARTITION BY RANGE (occurred_at)""",
    "DROP TABLE events_of_django",
    "CREATE SEQUENCE customers_event_id_seq OWNED BY customers_event.id",
    "ALTER TABLE customers_event ALTER COLUMN id SET DEFAULT nextval('customers_event_id_seq')",
    "ALTER TABLE customers_event ADD PRIMARY KEY (customer_id, occurred_at, id)",
    "ALTER TABLE customers_event ADD FOREIGN KEY (customer_id) REFERENCES customers_customer (id)",
    "CREATE INDEX events_by_time ON customers_event (occurred_at)",
    "CREATE TABLE customers_event_default PARTITION OF customers_event DEFAULT",
)


class Migration(migrations.Migration):
    dependencies = [("customers", "0001_initial")]

    operations = [migrations.RunPython(store_by_customer, migrations.RunPython.noop)]
