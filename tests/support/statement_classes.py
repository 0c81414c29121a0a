"""How a cluster runs the statements of a block: on how many shards, and how much it moves between machines."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
_METHOD = re.compile(r"INSERT/SELECT method: (\w+)")
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
    plan = _plan("EXPLAIN", sql, params)
    kind = _kind(plan)
    if kind in (Class.ONE_SHARD, Class.PUSHED_DOWN, Class.BROADCAST):
        # After a statement on the coordinator, no other one of the transaction can be analyzed.
        with suppress(psycopg.InternalError):
            plan = _plan("EXPLAIN (ANALYZE, TIMING OFF)", sql, params)
    return Explained(place, sql, kind, _bytes(_RECEIVED, plan), _bytes(_BROADCAST, plan))


def _kind(plan: str) -> Class:
    if method := _METHOD.search(plan):
        return Class.BETWEEN_SHARDS if method[1] == "repartition" else Class.FROM_COORDINATOR
    # To analyze these would look for temporary tables from another session, and then so would the statement itself.
    if "Could not get remote plan" in plan or f" port={connection.settings_dict['PORT']} " in plan:
        return Class.ON_COORDINATOR
    if "Distributed Subplan" in plan:
        return Class.BROADCAST
    return Class.ONE_SHARD if set(_TASKS.findall(plan)) <= {"1"} else Class.PUSHED_DOWN


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
