"""`serve`: web, worker and beat on the configured database and Redis, until stopped."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from segments_project.server import processes


class Command(BaseCommand):
    help = (
        "Run web, worker and beat on the configured database and Redis until stopped "
        "(with a Redis of its own where REDIS_URL is not set)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="0 for any free one (default: 8000)")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        require_migrated_database()
        try:
            status = processes.run_processes(port, announce=self.announce)
        except processes.ProcessError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)

    def announce(self, address: str) -> None:
        self.stdout.write(f"Ready: {address} (Ctrl-C stops)")
        self.stdout.flush()


def require_migrated_database() -> None:
    """Raise CommandError if the database is not migrated to this version."""
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error as error:
        raise CommandError(f"the database does not respond: {error}") from error
    finally:
        connection.close()
    if pending:
        raise CommandError(
            f"the database lacks {len(pending)} migrations: run `python manage.py migrate` first"
        )
