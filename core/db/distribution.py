"""Tables distributed over several machines by Citus, an extension of PostgreSQL.

A plain PostgreSQL gets only the keys of the distributed layout: unique indexes without the distribution column become
plain indexes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from django.db import transaction

from .backends import is_postgresql
from .execution import execute, fetch_all


class CannotDistribute(Exception):
    """The database cannot have the distributed layout. The message says why."""


@dataclass(frozen=True)
class Layout:
    """Where tables are. All others are on the coordinator.

    ``distributed`` names the distribution column of each table. The tables are co-located with the first one, and
    the other tables' foreign keys may refer to it. No table is copied to each machine: a lock on a row of such a
    reference table would lock all of its rows.
    """

    distributed: Mapping[str, str]


@dataclass(frozen=True)
class Step:
    """A difference between a database and a layout, and how to remove it."""

    missing: str
    done: str
    run: Callable[[], None]


def has_citus() -> bool:
    return is_postgresql() and bool(fetch_all("SELECT 1 FROM pg_extension WHERE extname = 'citus'"))


def find_missing(layout: Layout) -> list[str]:
    """Return what ``distribute`` would do, as sentences. Raises ``CannotDistribute``."""
    return [step.missing for step in _steps(layout)]


def distribute(layout: Layout) -> list[str]:
    """Give the database the layout, in one transaction. Return what was done, as sentences.

    Rows are moved to their machines. Other transactions wait for this one. Raises ``CannotDistribute``.
    """
    with transaction.atomic():
        steps = list(_steps(layout))
        for step in steps:
            step.run()
    return [step.done for step in steps]


def find_wrong_settings() -> list[str]:
    """Return settings of the other machines that the settings of our sessions do not reach, as sentences."""
    if not has_citus():
        return []
    workers = fetch_all("SELECT nodename, nodeport, result FROM run_command_on_workers('SHOW jit')")
    return [
        f"jit is on at {host}:{port}, which makes statements over all customers many times slower. "
        "Switch it off for the role there: ALTER ROLE … SET jit = off."
        for host, port, setting in workers
        if setting == "on"
    ]


def _steps(layout: Layout) -> Iterator[Step]:
    if not is_postgresql():
        raise CannotDistribute("SQLite cannot be distributed. Move the data to PostgreSQL first.")
    _check_constraints(layout)
    yield from _key_steps(layout)
    if has_citus():
        yield from _table_steps(layout)


def _check_constraints(layout: Layout) -> None:
    """Citus refuses some constraints, and of others it enforces only a part."""
    for table, name in fetch_all(
        """SELECT conrelid::regclass::text, conname FROM pg_constraint
           WHERE contype = 'f' AND confrelid = ANY(%s::regclass[]) AND NOT conrelid = ANY(%s::regclass[])
               AND NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = conrelid)
           ORDER BY 1, 2""",
        [[*layout.distributed], [*layout.distributed]],
    ):
        raise CannotDistribute(
            f"The foreign key {name} of {table}, which is not distributed, refers to a distributed table."
        )
    for table, column in layout.distributed.items():
        for name, is_primary, _ in _unique_indexes_without(table, column):
            if is_primary:
                raise CannotDistribute(f"The primary key {name} of {table} lacks {column}.")


def _unique_indexes_without(table: str, column: str) -> list[tuple[str, bool, str]]:
    """Return unique indexes without a column: the name, whether it is the primary key, and the definition."""
    return fetch_all(
        """SELECT indexrelid::regclass::text, indisprimary, pg_get_indexdef(indexrelid)
           FROM pg_index WHERE indrelid = %s::regclass AND indisunique AND NOT EXISTS (
               SELECT 1 FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY(indkey) AND attname = %s)
           ORDER BY 1""",
        [table, column],
    )


def _key_steps(layout: Layout) -> Iterator[Step]:
    for table, column in layout.distributed.items():
        for name, _, definition in _unique_indexes_without(table, column):
            yield Step(
                f"The index {name} of {table} is unique without {column}.",
                f"The index {name} of {table} is no longer unique.",
                _replace_by_plain_index(table, name, definition),
            )


def _replace_by_plain_index(table: str, name: str, definition: str) -> Callable[[], None]:
    def replace() -> None:
        if fetch_all("SELECT 1 FROM pg_constraint WHERE conindid = %s::regclass", [name]):
            execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        else:
            execute(f"DROP INDEX {name}")
        execute(definition.replace("CREATE UNIQUE INDEX", "CREATE INDEX", 1))

    return replace


def _table_steps(layout: Layout) -> Iterator[Step]:
    existing = {table for (table,) in fetch_all("SELECT logicalrelid::text FROM pg_dist_partition")}
    first = next(iter(layout.distributed))
    for table, column in layout.distributed.items():
        if table in existing:
            continue
        yield Step(
            f"{table} is not distributed.",
            f"{table} is distributed by {column}.",
            _run(
                "SELECT create_distributed_table(%s, %s, colocate_with => %s)",
                table,
                column,
                "default" if table == first else first,
            ),
        )


def _run(statement: str, *params: str) -> Callable[[], None]:
    def run() -> None:
        fetch_all(statement, params)

    return run
