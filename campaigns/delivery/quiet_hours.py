"""Quiet hours: the time zone of a customer, and when quiet hours end there."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

TIME_ZONE_ATTRIBUTES: Final = ("time_zone", "timezone")
"""Customer attributes that may hold the time zone."""


def customer_time_zone(
    zone_names: Iterable[str | None], country: str, at: datetime, shop_zone: ZoneInfo
) -> ZoneInfo:
    """Return the zone of the first valid name, else of the country if all its zones agree, else the shop's."""
    for name in zone_names:
        # Only listed names: ZoneInfo opens a file, and the name is untrusted.
        if name and name in _known_zones():
            return ZoneInfo(name)
    return _zone_of_country(country.strip().casefold(), at.year) or shop_zone


def quiet_until_utc(
    quiet_from: time | None, quiet_until: time | None, at: datetime, zone: ZoneInfo
) -> datetime | None:
    """Return when the quiet hours around ``at`` end, in UTC; None outside of quiet hours."""
    if quiet_from is None or quiet_until is None or quiet_from == quiet_until:
        return None
    local = at.astimezone(zone)
    local_time = local.time()
    over_midnight = quiet_until < quiet_from
    is_quiet = (
        (local_time >= quiet_from or local_time < quiet_until)
        if over_midnight
        else quiet_from <= local_time < quiet_until
    )
    if not is_quiet:
        return None
    day = local.date() if local_time < quiet_until else local.date() + timedelta(days=1)
    end = datetime.combine(day, quiet_until, zone).astimezone(UTC)
    # When clocks are put back, an hour occurs twice: the second one counts once the first is over.
    return end if end > at else datetime.combine(day, quiet_until.replace(fold=1), zone).astimezone(UTC)


@cache
def _known_zones() -> frozenset[str]:
    return frozenset(_read_table("zones"))


@lru_cache(maxsize=10_000)
def _zone_of_country(country: str, year: int) -> ZoneInfo | None:
    """Return a zone of a country whose zones all have the same time all year."""
    code = _country_codes().get(country, country)
    zones = [ZoneInfo(name) for name in _zones_by_country().get(code, ())]
    month_starts = [datetime(year, month, 1, tzinfo=UTC) for month in range(1, 13)]
    offsets = {tuple(start.astimezone(zone).utcoffset() for start in month_starts) for zone in zones}
    return zones[0] if len(offsets) == 1 else None


@cache
def _country_codes() -> Mapping[str, str]:
    """Return country codes by English name, both case-folded."""
    rows = (line.split("\t") for line in _read_table("zoneinfo/iso3166.tab"))
    return {name.casefold(): code.casefold() for code, name in rows}


@cache
def _zones_by_country() -> Mapping[str, tuple[str, ...]]:
    """Return the zones of each country code; zones shared with neighbours come last."""
    zones: dict[str, tuple[str, ...]] = {}
    for line in _read_table("zoneinfo/zone1970.tab"):
        codes, _, name, *_ = line.split("\t")
        own, *neighbours = codes.casefold().split(",")
        zones[own] = (name, *zones.get(own, ()))
        for code in neighbours:
            zones[code] = (*zones.get(code, ()), name)
    return zones


def _read_table(table: str) -> list[str]:
    """Read a table of the time zone database, without comments."""
    text = (files("tzdata") / table).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
