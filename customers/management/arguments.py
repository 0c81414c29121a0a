"""Arguments of several commands."""

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime

from customers.rows.cells import parse_moment
from customers.rows.settings import shop_settings


def parse_instant(text: str) -> datetime:
    """Parse an instant. Without an offset, it is in the shop's time zone."""
    try:
        return parse_moment(text, shop_settings().zone)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def parse_day(text: str) -> date:
    """Parse a day, such as 2026-03-31."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day. Write it as 2026-03-31.") from None
