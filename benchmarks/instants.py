"""Measure what asking about other instants costs, as ratios, on its own database.

`ahead_vs_plain` compares a pass over a minute of new records with eight conditions that are asked ahead, among the
sixteen segments, with the same pass without them. `changes_vs_explain` compares explanations of a customer that tell
when answers change with those that do not. `upcoming_vs_full` compares who enters and leaves the sixteen segments
within seven days with a full refresh. `flow_vs_full` compares the flow between two days a year apart with an evaluation
of the sixteen segments for all customers as of the first day. `history_vs_daily` says how many times cheaper a year of
history is than 365 such evaluations, of which five are timed.

Each ratio is of processor time, of Python and PostgreSQL together.
"""

import argparse
import json
import os
import random
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import costs
import harness
from moving_shop import (
    MINUTE,
    SECOND,
    Clock,
    Figures,
    ingest_new_records,
    make_shop,
    refresh_everybody,
    refresh_members,
)

from core.db import execution
from core.db.sql import compose
from core.values.sortable_values import end_of_day
from customers.models import Customer
from segments import segment_store
from segments.evaluation import explanation, live, upcoming
from segments.evaluation.compiler import compile_rules
from segments.evaluation.context import context_at, shop_zone
from segments.evaluation.expansion import expand_for_past
from segments.history import segment_history
from segments.lifecycle.flow import compute_flow
from segments.models import Segment
from segments.rules import Rule, parse
from segments.stages import lifecycle_stages
from segments_project.server.bundled_servers import redis_server

CUSTOMERS = 100_000
SEGMENTS_AHEAD = (
    "hero",
    "lost",
    "new-non-buyers",
    "one-time-lapsed",
    "repeat",
    "repeat-lapsed",
    "two-time-buyers",
    "waiting",
)
ROUNDS, PASSES = 3, 5
EXPLAINED, RUNS = 40, 3
WITHIN, YEAR = timedelta(days=7), timedelta(days=365)
DAYS_APART = 73
"""Every how many days of the year one is evaluated for comparison."""


def measure_ahead() -> Figures:
    """Time passes with and without conditions that are asked ahead, in turn."""
    clock = Clock()
    plain = {segment.slug: segment.rule for segment in Segment.objects.filter(slug__in=SEGMENTS_AHEAD)}
    ahead = {slug: {"any": [rule, {"ahead": {"in": "7d", "rule": rule}}]} for slug, rule in plain.items()}
    spent: dict[str, list[float]] = {"plain": [], "ahead": []}
    for _ in range(ROUNDS):
        for name, rules in (("plain", plain), ("ahead", ahead)):
            _save_rules(rules)
            clock.move(SECOND)
            refresh_members(clock.at)
            _time_minute(clock)  # warms up the caches
            spent[name] += [_time_minute(clock) for _ in range(PASSES)]
            refresh_everybody(clock.at)
    _save_rules(plain)
    return _ratio("ahead_vs_plain", spent["ahead"], spent["plain"])


def measure_changes() -> Figures:
    """Time explanations of sixteen segments for some customers, with and without the instants of changes, in turn."""
    at, rules = Clock().at, _rules()
    known = Customer.objects.known().filter(facts__order_count__gte=1).order_by("pk")
    customers = random.Random("changes").sample(list(known[:5_000]), EXPLAINED)
    spent: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(RUNS):
        for with_changes in (False, True):

            def explain_all(with_changes: bool = with_changes) -> None:
                for customer in customers:
                    context = live.context_for_customers([customer.pk], at)
                    live.compute_rule_statistics(rules, context)
                    explanation.explain_each(rules, customer, context, with_changes=with_changes)

            spent[with_changes].append(costs.cost_of(explain_all).processor)
    return _ratio("changes_vs_explain", spent[True], spent[False])


def measure_upcoming() -> Figures:
    """Time who enters and leaves sixteen segments within seven days, and full refreshes, in turn."""
    at, rules = Clock().at, _rules()

    def find_upcoming() -> None:
        upcoming.fill_upcoming(rules, context_at(at), WITHIN)
        for place in range(len(rules)):
            upcoming.read_upcoming(place)

    return _compare("upcoming_vs_full", find_upcoming, lambda: refresh_members(at, full=True))


def measure_history() -> Figures:
    """Time a year of history of sixteen segments, and evaluations as of the ends of some of its days."""
    last = segment_history.last_day(Clock().at)
    first = last - YEAR + timedelta(days=1)
    segments = list(Segment.objects.filter(kind=Segment.Kind.DYNAMIC).order_by("pk"))
    zone, sizes = shop_zone(), {}

    def compute_history() -> None:
        sizes.update({day: [one.size for one in counts]
                      for day, counts in segment_history.compute_days(segments, first, last)})  # fmt: skip

    history = costs.cost_of(compute_history).processor
    evaluations = []
    for day in sorted(sizes)[DAYS_APART // 2 :: DAYS_APART]:

        def evaluate(day: date = day) -> None:
            if _evaluate_everybody(segments, end_of_day(day, zone)) != sizes[day]:
                raise SystemExit(f"the history of {day} is not what an evaluation finds")

        evaluations.append(costs.cost_of(evaluate).processor)
    daily = len(sizes) * median(evaluations)
    harness.log(f"history_vs_daily: {daily:.1f} s / {history:.1f} s = {daily / history:.1f}")
    return {
        "history_vs_daily": round(daily / history, 1),
        "raw": {"history_s": round(history, 2), "evaluation_s": round(median(evaluations), 3)},
    }


def _evaluate_everybody(segments: Sequence[Segment], at: datetime) -> list[int]:
    """Evaluate segments for all customers as of an instant in the past. Return their sizes."""
    compiled = compile_rules(expand_for_past([segment.rule for segment in segments]))
    answers = compiled.all_answers_sql(context_at(at, asks_rules=True))
    sums = ", ".join(f"sum(bits >> {place} & 1)" for place in range(len(segments)))
    answered = compose(
        f"WITH answered (customer_id, bits, known) AS ({{answers}}) SELECT {sums} FROM answered",
        answers=answers,
    )
    [row] = execution.fetch_all(answered)
    return [int(size) for size in row]


def measure_flow() -> Figures:
    """Time the flow between two days a year apart, and evaluations of the segments as of the first day, in turn."""
    last, stages = segment_history.last_day(Clock().at), lifecycle_stages()
    segments = list(Segment.objects.filter(kind=Segment.Kind.DYNAMIC).order_by("pk"))
    first_end = end_of_day(last - YEAR, shop_zone())
    return _compare(
        "flow_vs_full",
        lambda: compute_flow(stages, last - YEAR, last),
        lambda: _evaluate_everybody(segments, first_end),
    )


def _compare(name: str, costly: Callable[[], Any], cheap: Callable[[], Any]) -> Figures:
    """Time two functions in turn, after each ran once to fill the caches."""
    spent: dict[str, list[float]] = {"costly": [], "cheap": []}
    for number in range(RUNS + 1):
        for which, act in (("costly", costly), ("cheap", cheap)):
            seconds = costs.cost_of(act).processor
            spent[which] += [seconds] if number else []
    return _ratio(name, spent["costly"], spent["cheap"])


def _rules() -> list[Rule]:
    segments = Segment.objects.filter(kind=Segment.Kind.DYNAMIC).order_by("pk")
    return [parse(segment.rule) for segment in segments]


def _save_rules(rules: dict[str, Any]) -> None:
    for segment in Segment.objects.filter(slug__in=rules):
        segment.rule = json.loads(json.dumps(rules[segment.slug]))
        segment_store.save_segment(segment)


def _time_minute(clock: Clock) -> float:
    ingest_new_records(clock, MINUTE)
    return costs.cost_of(lambda: refresh_members(clock.at)).processor


def _ratio(name: str, costly: list[float], cheap: list[float]) -> Figures:
    """Return the ratio of two medians, and both with their extremes."""
    ratio = median(costly) / median(cheap)
    harness.log(f"{name}: {median(costly):.4f} s / {median(cheap):.4f} s = {ratio:.2f}")
    raw = {
        part: {"median": round(median(values), 4), "least": round(min(values), 4), "runs": len(values)}
        for part, values in (("costly", costly), ("cheap", cheap))
    }
    return {name: round(ratio, 2), "raw": raw}


PARTS: dict[str, Callable[[], Figures]] = {
    "ahead": measure_ahead,
    "changes": measure_changes,
    "upcoming": measure_upcoming,
    "history": measure_history,
    "flow": measure_flow,
}


def main() -> None:
    """Start the servers and the parts, each in its own process, or run as a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N")
    parser.add_argument(
        "--folder", type=Path, help="keep the database there; the shop in it is used again by the next run"
    )
    parser.add_argument("--parts", help=f"some of {', '.join(PARTS)}, with commas (default: all there are)")
    parser.add_argument("--run", choices=["make", *PARTS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if harness.is_part():
        parts = PARTS | {"make": partial(make_shop, options.customers)}
        harness.print_result(parts[options.run]())
        return
    chosen = options.parts.split(",") if options.parts else list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"{', '.join(unknown)}: not among {', '.join(PARTS)}")
    figures: Figures = {"benchmark": "time"}
    raw: Figures = {}
    with harness.database("postgresql", options.folder) as url, redis_server() as redis:
        os.environ["REDIS_URL"] = redis.url
        for name in ["make", *chosen]:
            harness.log(f"-- {name}")
            result = harness.run_part(url, "--run", name, "--customers", str(options.customers))
            raw[name] = result.pop("raw")
            figures |= result
    harness.print_result(figures | {"raw": raw})


if __name__ == "__main__":
    main()
