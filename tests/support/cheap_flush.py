"""Emptying the database after a test that commits.

Django truncates all tables. PostgreSQL then makes new files for hundreds of tables and indexes, of which few had rows,
and leaves as many dead rows in its catalogue.
"""

from typing import Any

from django.db import connection


def install_cheap_flush() -> None:
    """Let a flush delete the rows of the tables that have any, if the account may switch off triggers."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        [is_superuser] = cursor.fetchone()
    if not is_superuser:
        return
    truncate = connection.ops.sql_flush

    def sql_flush(style: Any, tables: list[str], **options: Any) -> list[str]:
        if options.get("reset_sequences"):
            return truncate(style, tables, **options)
        names = [connection.ops.quote_name(table) for table in tables]
        filled = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)
        with connection.cursor() as cursor:
            cursor.execute(filled)
            deletions = [f"DELETE FROM {name}" for (name,) in cursor.fetchall()]
        # Foreign keys are triggers, and no row remains that could refer to another.
        return ["SET LOCAL session_replication_role = replica", *deletions]

    connection.ops.sql_flush = sql_flush  # type: ignore[method-assign, assignment]
