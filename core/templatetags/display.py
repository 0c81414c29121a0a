"""Template filters for times, amounts and values in the admin."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html

from core.durations import short_duration_text

register = template.Library()

MAX_VALUE_LENGTH = 120


@register.filter
def moment(value: datetime | None) -> str:
    """Format a time in the shop's time zone, with the exact time as its tooltip."""
    if value is None:
        return "–"
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}" title="{}" class="nowrap">{}</time>',
        local.isoformat(),
        local.isoformat(sep=" ", timespec="seconds"),
        f"{local.day} {local:%b %Y, %H:%M}",
    )


@register.filter
def clock(value: datetime) -> str:
    """Format the time of day in the shop's time zone: 14:05."""
    return f"{timezone.localtime(value):%H:%M}"


@register.filter
def day(value: datetime) -> str:
    """Format the day in the shop's time zone: Tuesday, 3 Mar 2026."""
    local = timezone.localtime(value)
    return f"{local:%A}, {local.day} {local:%b %Y}"


@register.filter
def ago(value: datetime, now: datetime) -> str:
    """Format how long ago a time of today is: 40 s, 5 min, 2 h ago."""
    return f"{short_duration_text(now - value)} ago"


@register.filter
def amount(value: Decimal | None, currency: str = "") -> str:
    """Format an amount with at least two decimals: 1,234.50 EUR."""
    if value is None:
        return "–"
    text = f"{value.quantize(Decimal('0.01')) if value == round(value, 2) else value:,}"
    return f"{text} {currency}".strip()


@register.filter
def rounded_amount(value: Decimal | None, currency: str = "") -> str:
    """Format an amount without decimals, for large figures: 48,210 EUR."""
    return "–" if value is None else f"{round(value):,} {currency}".strip()


@register.filter
def growth(share: float | None) -> str:
    """Format a growth with its sign: +12 %, −3 %, ±0 %."""
    if share is None:
        return "–"
    rounded = round(100 * share)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else '±'}{abs(rounded):,} %"


@register.filter
def number(value: Decimal | int | None) -> str:
    """Format a number without trailing zeros: 2, 0.5, 12,345."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:,f}"


@register.filter
def percent(share: float | None) -> str:
    """Format a fraction as a percentage: 31 %, 0.4 %."""
    if share is None:
        return "–"
    return f"{share * 100:.{0 if share >= 0.1 or not share else 1}f} %"


@register.filter
def plain(value: Any) -> str:
    """Format a JSON value in one line, shortened if it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"
