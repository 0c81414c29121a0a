"""How a cluster runs the statements of a block: on how many shards, and how much it moves between machines."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
from django.db import connection, transaction

from core.db.execution import execute
from segments_project.distribution import LAYOUT

from .statement_recorder import calling_place

_UNITS = {"bytes": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3}
_RECEIVED = re.compile(r"Tuple data received from nodes: (\d+) (\w+)")
_BROADCAST = re.compile(r"Intermediate Data Size: (\d+) (\w+)")
_TASKS = re.compile(r"Task Count: (\d+)")
_NAMES = re.compile(r"\b(" + "|".join(LAYOUT.distributed) + r")(?:_\d{4}_\d{2}|_default)?\b")
_EXPLAINED = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)


class Class(StrEnum):
    ONE_SHARD = "one shard"
    PUSHED_DOWN = "each shard for itself"
    BROADCAST = "with rows of the coordinator sent to each shard"
    FROM_COORDINATOR = "rows of the coordinator inserted"
    BETWEEN_SHARDS = "rows of each shard inserted into others"
    ON_COORDINATOR = "rows of the coordinator, with some of the shards"


@dataclass(frozen=True)
class Explained:
    """One run of a statement: how many bytes came to the coordinator, and how many it sent to the shards."""

    place: str
    statement: str
    kind: Class
    received: int
    broadcast: int

    def __str__(self) -> str:
        text = " ".join(self.statement.split())[:300]
        return f"{self.place}: {self.kind}, received {self.received}, sent {self.broadcast} bytes\n  {text}"


@contextmanager
def explained_statements(max_bytes: int) -> Iterator[list[Explained]]:
    """Collect the statements of a block that name a distributed table. Each runs twice: first to be explained.

    A statement fails if one of its steps moves more bytes.
    """
    found: list[Explained] = []

    def explain(run: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        place = calling_place(sys._getframe(1))
        if place and not many and isinstance(sql, str) and _EXPLAINED.match(sql) and _NAMES.search(sql):
            found.append(_explained(place, sql, params))
        return run(sql, params, many, context)

    execute(f"SET citus.max_intermediate_result_size TO {max_bytes // 1024}")
    with connection.execute_wrapper(explain):
        yield found
    execute("RESET citus.max_intermediate_result_size")


def _explained(place: str, sql: str, params: Any) -> Explained:
    planned = _plan("EXPLAIN", sql, params)
    if "INSERT/SELECT method: pull to coordinator" in planned:
        return Explained(place, sql, Class.FROM_COORDINATOR, 0, 0)
    if "INSERT/SELECT method: repartition" in planned:
        return Explained(place, sql, Class.BETWEEN_SHARDS, 0, 0)
    if "Could not get remote plan" in planned:
        # ANALYZE would look for temporary tables from another session, and then so would the statement itself.
        return Explained(place, sql, Class.ON_COORDINATOR, 0, 0)
    try:
        plan = _plan("EXPLAIN (ANALYZE, TIMING OFF)", sql, params)
    except psycopg.InternalError:  # after such a statement, no other one of the transaction can be analyzed
        return Explained(place, sql, Class.ON_COORDINATOR, 0, 0)
    received, broadcast = _bytes(_RECEIVED, plan), _bytes(_BROADCAST, plan)
    if "Intermediate Data Size" in plan:
        kind = Class.BROADCAST
    elif max(map(int, _TASKS.findall(plan)), default=0) <= 1:
        kind = Class.ONE_SHARD
    else:
        kind = Class.PUSHED_DOWN
    return Explained(place, sql, kind, received, broadcast)


def _plan(how: str, sql: str, params: Any) -> str:
    with transaction.atomic():
        try:
            # By psycopg's connection: not through this wrapper again.
            rows = connection.connection.execute(f"{how} {sql}", params).fetchall()
        finally:
            transaction.set_rollback(True)
    return "\n".join(row[0] for row in rows)


def _bytes(pattern: re.Pattern[str], plan: str) -> int:
    return sum(int(number) * _UNITS[unit] for number, unit in pattern.findall(plan))
