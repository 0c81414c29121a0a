"""Records the statements of a test on PostgreSQL, and refuses those that a distributed one cannot run well."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from pglast.parser import ParseError
from psycopg.sql import Composable

from customers.models import FactsAsOf
from segments_project.distribution import LAYOUT

from .statement_rules import Rule, Tables, find_violations

PACKAGES = frozenset({"core", "customers", "segments", "campaigns", "segments_project"})

_PLACEHOLDER = re.compile(r"%(?:\((?P<name>[^)]+)\))?(?P<kind>[sbt%])")
_COLUMNS_SQL = """SELECT attname FROM pg_attribute
    WHERE attrelid = to_regclass(quote_ident(%s)) AND attnum > 0 AND NOT attisdropped"""

# Facts at another instant are a temporary table today, so that their rows come to the coordinator. Statements must
# treat it as a distributed table, so that it can become one.
DISTRIBUTED: Final = {**LAYOUT.distributed, FactsAsOf._meta.db_table: "customer_id"}

Params = Sequence[Any] | Mapping[str, Any] | None


@dataclass(frozen=True)
class Finding:
    """A rule that a statement violates. ``place`` is the function that ran it."""

    place: str
    rule: Rule
    reason: str
    statement: str

    def __str__(self) -> str:
        return f"{self.place}\n  {self.rule}:\n  {self.reason}\n  {_shortened(self.statement)}"


class StatementRecorder:
    """Checks each statement that our packages run, once. Statements of the tests themselves are left alone."""

    def __init__(self) -> None:
        self.findings: dict[tuple[str, Rule, str], Finding] = {}
        self.places: set[str] = set()
        self._checked: set[tuple[str, str, bool]] = set()
        self._is_about_one_customer = False

    @contextmanager
    def one_customer(self) -> Iterator[None]:
        """Check that the statements of a block are restricted to one customer."""
        before, self._is_about_one_customer = self._is_about_one_customer, True
        try:
            yield
        finally:
            self._is_about_one_customer = before

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if place := calling_place(sys._getframe(1)):
            text = sql.as_string(context["connection"].connection) if isinstance(sql, Composable) else sql
            self._record(place, numbered_placeholders(text, params[0] if many and params else params))
        return result

    def _record(self, place: str, statement: str) -> None:
        self.places.add(place)
        key = (place, statement, self._is_about_one_customer)
        if key in self._checked:
            return
        self._checked.add(key)
        tables = Tables(DISTRIBUTED, _columns)
        try:
            found = find_violations(statement, tables, one_customer=self._is_about_one_customer)
        except ParseError as error:
            raise AssertionError(f"{place} runs what cannot be parsed: {error}\n{statement}") from error
        for one in found:
            finding = Finding(place, one.rule, one.reason, statement)
            self.findings.setdefault((place, one.rule, one.reason), finding)

    def report(self) -> str:
        """Return all findings, ordered by place."""
        ordered = sorted(self.findings.values(), key=lambda one: (one.place, one.rule.name, one.reason))
        return "\n\n".join(map(str, ordered))


@contextmanager
def record_statements() -> Iterator[StatementRecorder]:
    """Record the statements of a block on this thread's connection. Raises AssertionError if one violates a rule.

    On SQLite, nothing is recorded.
    """
    recorder = StatementRecorder()
    if connection.vendor != "postgresql":
        yield recorder
        return
    with connection.execute_wrapper(recorder):
        yield recorder
    assert not recorder.findings, (
        f"{len(recorder.findings)} violations of the rules for statements\n\n{recorder.report()}"
    )


def numbered_placeholders(text: str, params: Params) -> str:
    """Return a statement with ``$1``, ``$2`` as placeholders. Equal parameters get equal numbers."""
    if params is None:  # then psycopg replaces nothing either
        return text
    numbers: dict[tuple[type, str], int] = {}
    in_order = iter(params)

    def number(match: re.Match[str]) -> str:
        if match["kind"] == "%":
            return "%"
        value = params[match["name"]] if isinstance(params, Mapping) else next(in_order)
        return f"${numbers.setdefault((type(value), repr(value)), len(numbers) + 1)}"

    return _PLACEHOLDER.sub(number, text)


def calling_place(frame: Any) -> str:
    """Return the innermost function of our packages, not of ``core.db``; an empty text if a test runs a statement."""
    fallback = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        package = module.split(".")[0]
        if package == "tests":
            return ""
        if package in PACKAGES:
            place = f"{module}:{frame.f_code.co_qualname.replace('.<locals>', '')}"
            if not module.startswith("core.db."):
                return place
            fallback = place
        frame = frame.f_back
    return fallback


def _columns(table: str) -> Collection[str] | None:
    # By psycopg's connection, so that it is not recorded.
    columns = [name for (name,) in connection.connection.execute(_COLUMNS_SQL, [table])]
    return columns or None


def _shortened(statement: str, length: int = 1_500) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= length else f"{text[:length]} …"
