"""Numbers and instants as sentences show them."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo


def format_instant(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def format_number(number: Decimal) -> str:
    """Format a number without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
