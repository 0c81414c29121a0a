"""Arguments of several commands."""

from argparse import ArgumentTypeError
from datetime import datetime

from customers.rows.cells import parse_moment
from customers.rows.settings import shop_settings


def parse_instant(text: str) -> datetime:
    """Parse an instant. Without an offset, it is in the shop's time zone."""
    try:
        return parse_moment(text, shop_settings().zone)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
