"""Measure what asking about other instants costs, as ratios, on its own database.

`ahead_vs_plain` compares a pass over a minute of new records with eight conditions that are asked ahead, among the
sixteen segments, with the same pass without them. Each ratio is of processor time, of Python and PostgreSQL together.
"""

import argparse
import json
import os
from collections.abc import Callable
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

from segments import segment_store
from segments.models import Segment
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


PARTS: dict[str, Callable[[], Figures]] = {"ahead": measure_ahead}


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
