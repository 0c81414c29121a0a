"""Flows that pages show: computed at once or by a worker, and kept in the cache for an hour.

A flow is kept with the keys of the customers of each cell, which are what a cell leads to.
"""

import json
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, Literal
from zlib import compress, decompress

import redis
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from kombu.exceptions import OperationalError

from core.db import time_limits
from segments import stages
from segments.evaluation.context import shop_zone
from segments.evaluation.expansion import expand_for_past
from segments.rules import RuleError
from segments.stages import Stage

from .flow import Flow, FlowCell, compute_flow_with_customers

KEPT_SECONDS: Final = 3600
WAITING_SECONDS: Final = 600
"""After this time, a flow that a worker should compute can be requested again."""
SYNC_SECONDS: Final = 2.0
"""The time limit of a statement of a flow in a request."""
WORKER_SECONDS: Final = 600.0
TASK: Final = "segments.tasks.compute_flow"


@dataclass(frozen=True)
class KeptFlow:
    """A flow, when it was computed, and the key under which its cells are kept; "" if they are not."""

    flow: Flow
    computed_at: datetime
    key: str


State = KeptFlow | Literal["waiting"]


class FlowUnavailable(Exception):
    """The flow cannot be computed. The message says why."""


def find_flow(shown: Sequence[Stage], since: date, until: date) -> State:
    """Return the flow from the cache, or compute it, or else let a worker compute it. Raises FlowUnavailable."""
    try:
        key = _key(shown, since, until)
    except RuleError as error:
        raise FlowUnavailable(f"The rule of a stage is invalid: {error}.") from None
    try:
        if found := _read(key):
            return found
        if (entry := cache.get(f"{key}:waiting")) == "waiting":
            return "waiting"
        if entry:
            raise FlowUnavailable(entry)
    except redis.RedisError:
        key = ""
    try:
        return _compute(shown, since, until, SYNC_SECONDS, key)
    except time_limits.StatementTimeout:
        pass
    if not key:
        raise FlowUnavailable(
            "This takes too long for a page, and Redis does not answer, so no worker can do it."
        )
    try:
        if cache.add(f"{key}:waiting", "waiting", WAITING_SECONDS):
            # By name, since the module of tasks imports this one.
            current_app.send_task(
                TASK,
                [since.isoformat(), until.isoformat()],
                queue=settings.COUNTS_QUEUE,
                expires=WAITING_SECONDS,
            )
    except (redis.RedisError, OperationalError):
        raise FlowUnavailable("Redis does not answer, so no worker can compute this.") from None
    return "waiting"


def compute_kept_flow(since: date, until: date) -> None:
    """Compute a flow of the shop's stages and keep it: the work of a worker."""
    shown = stages.lifecycle_stages()
    try:
        key = _key(shown, since, until)
    except RuleError:  # the page says so itself
        return
    try:
        _compute(shown, since, until, WORKER_SECONDS, key)
    except time_limits.StatementTimeout:
        reason = f"This took longer than {WORKER_SECONDS / 60:.0f} minutes. Use the command `flow`."
        cache.set(f"{key}:waiting", reason, WAITING_SECONDS)
    else:
        cache.delete(f"{key}:waiting")


def customers_of_cell(kept: KeptFlow, source: str, target: str) -> "array[int] | None":
    """Return the keys of the customers of a cell in their order. None if they are not kept any more."""
    text = cache.get(f"{kept.key}:{source}:{target}") if kept.key else None
    if text is None:
        return None
    keys = array("q")
    keys.frombytes(decompress(b64decode(text)))
    return keys


def _key(shown: Sequence[Stage], since: date, until: date) -> str:
    """Return a key of stages, all rules that are asked, days and the time zone. Raises RuleError."""
    rules = expand_for_past(stage.rule for stage in shown)
    asked = [[stage.slug, rule.digest] for stage, rule in zip(shown, rules, strict=True)]
    digest = sha256(json.dumps([asked, shop_zone().key], sort_keys=True).encode()).hexdigest()[:32]
    return f"flow:{digest}:{since}:{until}"


def _read(key: str) -> KeptFlow | None:
    found: Mapping[str, Any] | None = cache.get(key)
    if found is None:
        return None
    cells = (
        FlowCell(source, target, customers, Decimal(revenue))
        for source, target, customers, revenue in found["cells"]
    )
    since, until = (date.fromisoformat(found[name]) for name in ("since", "until"))
    return KeptFlow(Flow(since, until, tuple(cells)), datetime.fromisoformat(found["computed_at"]), key)


def _compute(shown: Sequence[Stage], since: date, until: date, seconds: float, key: str) -> KeptFlow:
    """Compute a flow, and keep it unless the key is empty."""
    flow, customers = compute_flow_with_customers(shown, since, until, seconds)
    now = datetime.now(UTC)
    entry = {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "computed_at": now.isoformat(),
        "cells": [[cell.source, cell.target, cell.customers, str(cell.revenue)] for cell in flow.cells],
    }
    cells = {
        f"{key}:{source}:{target}": b64encode(compress(keys.tobytes())).decode()
        for (source, target), keys in customers.items()
    }
    if key:
        cache.set_many(cells, KEPT_SECONDS + WAITING_SECONDS)
        cache.set(key, entry, KEPT_SECONDS)
    return KeptFlow(flow, now, key)
