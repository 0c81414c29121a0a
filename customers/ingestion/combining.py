"""Rows of one call that repeat a key: combined into one row, or written in separate batches."""

import json
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from core.values import sortable_values
from customers.rows.kinds import CUSTOMERS, EVENTS, ORDER_LINES, Kind
from customers.rows.parsing import Record

from .results import RejectedRow
from .staging import OWNER_ID_COLUMNS, REQUIRED_COLUMNS


def batches_without_repeats(
    kind: Kind, numbered_records: Iterable[tuple[int, Record]], batch_size: int
) -> Iterator[tuple[list[Record], dict[int, int]]]:
    """Split records, in their order, into batches that contain no key twice and at most ``batch_size`` keys.

    Each batch comes with the lines that were combined into an earlier one.
    """
    key_of = itemgetter(*map(kind.columns.index, kind.key))
    latest: dict[Any, Record] = {}
    repeated: dict[int, int] = {}
    for line, record in numbered_records:
        key = key_of(record)
        if kind is ORDER_LINES and None in key:
            key = line  # lines without an id are distinguished by number
        earlier = latest.get(key)
        if earlier is None:
            if len(latest) >= batch_size:
                yield list(latest.values()), repeated
                latest, repeated = {}, {}
            latest[key] = (line, *record)
        elif _can_combine(kind, earlier[1:], record):
            latest[key] = (earlier[0], *_combine(kind, earlier[1:], record))
            repeated[line] = earlier[0]
        else:
            yield list(latest.values()), repeated
            latest, repeated = {key: (line, *record)}, {}
    if latest:
        yield list(latest.values()), repeated


def named_customer_ids(kind: Kind, rows: Iterable[Record]) -> set[str]:
    """Return the customer ids that rows name; each row begins with its line."""
    if "customer_id" not in kind.columns:
        return set()
    index = kind.columns.index("customer_id") + 1
    return {row[index] for row in rows if row[index] is not None}


def _can_combine(kind: Kind, earlier: Record, later: Record) -> bool:
    """Return whether writing the combined record has the same effect as writing one after the other."""
    needed, ids = REQUIRED_COLUMNS[kind.name], OWNER_ID_COLUMNS[kind.name]
    if kind is CUSTOMERS and _changes_consent(earlier, later):
        return False  # both go into the history
    if kind is EVENTS and _moves_link_time(earlier, later):
        return False  # the identity link keeps the earlier time
    complete = all(earlier[kind.columns.index(column)] is not None for column in needed)
    whose = [(earlier[place], later[place]) for place in map(kind.columns.index, ids)]
    return complete and (all(old == new for old, new in whose) or all(new is None for _, new in whose))


def _moves_link_time(earlier: Record, later: Record) -> bool:
    """Return whether an event that links two ids gets another time."""
    customer, visitor, time = map(EVENTS.columns.index, ("customer_id", "anonymous_id", "occurred_at"))
    names_both = earlier[customer] is not None and earlier[visitor] is not None
    return names_both and later[time] not in (None, earlier[time])


def _changes_consent(earlier: Record, later: Record) -> bool:
    index = CUSTOMERS.columns.index("newsletter")
    return earlier[index] is not None and later[index] is not None and earlier[index] != later[index]


def rejected_repeats(refused: Iterable[RejectedRow], repeated: Mapping[int, int]) -> list[RejectedRow]:
    reasons = {refusal.line: refusal.reason for refusal in refused}
    return [RejectedRow(line, reasons[first]) for line, first in repeated.items() if first in reasons]


def _combine(kind: Kind, earlier: Record, later: Record) -> Record:
    if kind is CUSTOMERS:  # each attribute keeps its latest value
        index = kind.columns.index("attributes")
        merged = tuple(
            sortable_values.dump_json(json.loads(old) | json.loads(new))
            for old, new in zip(earlier[index:], later[index:], strict=True)
        )
        later = later[:index] + merged
    if kind is EVENTS and later[(index := kind.columns.index("properties"))] is not None:
        earlier = earlier[:index] + later[index:]  # the columns that are read from properties come with them
    return tuple(old if new is None else new for old, new in zip(earlier, later, strict=True))
