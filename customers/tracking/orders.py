"""What orders look like: each is what all messages about it, in the order of their times, add up to.

The only writer of ``OrderNote``. Messages that cannot be trusted come first and are overruled by any that can: what
browsers say of an order alone leaves it pending, their refunds and cancellations count for nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from customers import comparable, engine, exact, ingestion
from customers.claims import in_parts
from customers.identity import CUSTOMER_ID
from customers.models import Identity, Order, OrderNote
from customers.records import ORDER_LINES, ORDERS, Record, read_line, the_shop

Action, Status = OrderNote.Action, Order.Status
_SALES: Final = (Action.COMPLETED, Action.UPDATED)


@dataclass(slots=True)
class _Sum:
    """What notes add up to; None and an empty list are not given."""

    order_id: str
    whose: Identity
    placed_at: datetime | None = None
    status: str | None = None
    total: int | None = None
    discount: int | None = None
    refunded: int | None = None
    currency: str | None = None
    coupon: str | None = None
    lines: list[dict[str, str]] = field(default_factory=list)

    def lay_over(self, told: Mapping[str, Any]) -> None:
        """Take what a later sale says, and keep what it leaves open."""
        self.total = told.get("total", self.total)
        self.discount = told.get("discount", self.discount)
        self.currency = told.get("currency", self.currency)
        self.coupon = told.get("coupon", self.coupon)
        self.lines = told.get("lines", self.lines)


def note(notes: Sequence[OrderNote], moved: Iterable[int], now: datetime) -> None:
    """Keep what messages say of orders, and bring these in line, and those of identities that have moved."""
    order_ids = {one.order_id for one in notes}
    known, stored = _known(order_ids), _stored(order_ids)
    for one in notes:
        earlier = known.setdefault(one.order_id, [])
        one.is_late = any(other.is_late for other in earlier) or (one.order_id in stored and not earlier)
        if not one.is_trusted and any(other.is_trusted and other.action in _SALES for other in earlier):
            # It is confirmed: of what is known already, a browser alters nothing any more.
            given = {name for other in earlier for name in other.told}
            one.told = {name: value for name, value in one.told.items() if name not in given}
        earlier.append(one)
    OrderNote.objects.bulk_create(notes, ignore_conflicts=True)
    for part in in_parts([*moved]):
        order_ids |= set(OrderNote.objects.filter(identity__in=part).values_list("order_id", flat=True))
    if order_ids:
        _write(_known(order_ids), _stored(order_ids), now)


def _known(order_ids: Iterable[str]) -> dict[str, list[OrderNote]]:
    known: dict[str, list[OrderNote]] = defaultdict(list)
    for part in in_parts([*order_ids]):
        for one in OrderNote.objects.filter(order_id__in=part).select_related("identity"):
            known[one.order_id].append(one)
    return known


def _stored(order_ids: Iterable[str]) -> dict[str, Order]:
    return {
        one.order_id: one
        for part in in_parts([*order_ids])
        for one in Order.objects.filter(order_id__in=part)
    }


def _write(known: Mapping[str, Sequence[OrderNote]], stored: Mapping[str, Order], now: datetime) -> None:
    sums = [summed for order_id, notes in known.items() if (summed := _add_up(notes, stored.get(order_id)))]
    if sums:
        ingestion.ingest(ORDERS, enumerate(map(_record, sums)), now, announce=False)
    lines = [record for summed in sums for record in _lines(summed)]
    if lines:
        ingestion.ingest(ORDER_LINES, enumerate(lines), now, announce=False)
        ingestion.drop_other_lines((record[0], record[1]) for record in lines)


def _add_up(notes: Iterable[OrderNote], stored: Order | None) -> _Sum | None:
    """Add the notes of an order up; None where they make no order, or may not alter the one there is."""
    ordered = sorted(notes, key=lambda one: (one.is_trusted, one.at, one.message_id))
    sales = [one for one in ordered if one.action in _SALES]
    trusted = [one for one in ordered if one.is_trusted]
    is_others = stored is not None and (ordered[0].is_late or not sales)
    if not trusted and (is_others or (stored and stored.status != Status.PENDING)):
        return None  # somebody who may has made it, or confirmed it
    if not sales and not is_others:
        return None  # what it is, a later message says

    summed = _Sum(ordered[0].order_id, _owner(sales or trusted))
    for one in sales:
        summed.lay_over(one.told)
    completed = [one for one in sales if one.action == Action.COMPLETED]
    if completed or not is_others:
        summed.placed_at = min(one.at for one in completed or sales)
    if not trusted:
        summed.status = Status.PENDING
        return summed
    if not is_others and any(one in sales for one in trusted):
        summed.status = Status.PAID
    elif not is_others:
        summed.status = Status.PENDING
    _follow(summed, trusted, exact.to_units(stored.total) if stored and is_others else 0)
    return summed


def _owner(notes: Iterable[OrderNote]) -> Identity:
    """Give whose order it is: who is trusted says it best, then who knows a customer id, then who says it last."""
    latest = max(
        notes, key=lambda one: (one.is_trusted, one.identity.kind == CUSTOMER_ID, one.at, one.message_id)
    )
    return latest.identity


def _follow(summed: _Sum, trusted: Iterable[OrderNote], total_before: int) -> None:
    """Follow an order from its sale to what became of it, as those say who may."""
    total = total_before if summed.total is None else summed.total
    refunded = 0
    for one in trusted:
        match one.action:
            case Action.CANCELLED:
                summed.status = Status.CANCELLED
            case Action.REFUNDED:
                refunded += _amount(one.told, summed, total)
                if refunded >= total:
                    refunded, summed.status = total, Status.REFUNDED
                summed.refunded = refunded
            case _ if "status" in one.told:
                summed.status = one.told["status"]


def _amount(told: Mapping[str, Any], summed: _Sum, total: int) -> int:
    """Give the amount of one refund; one that names neither an amount nor lines is of everything."""
    if "amount" in told:
        return int(told["amount"])
    if "lines" not in told:
        return total
    prices = {line["sku"]: exact.parse_units(line.get("unit_price", "0")) for line in summed.lines}
    value = 0
    for sku, quantity, price in told["lines"]:
        each = prices.get(sku, 0) if price is None else price
        value += each * (exact.SCALE if quantity is None else quantity) // exact.SCALE
    return abs(value)


def _record(summed: _Sum) -> Record:
    is_customer = summed.whose.kind == CUSTOMER_ID
    return (
        summed.order_id,
        summed.whose.value if is_customer else None,
        None if is_customer else summed.whose.value,
        engine.moment(summed.placed_at) if summed.placed_at else None,
        summed.status,
        summed.total,
        summed.discount,
        summed.refunded,
        summed.currency,
        summed.coupon,
        comparable.fold(summed.coupon) if summed.coupon else None,
    )


def _lines(summed: _Sum) -> Iterator[Record]:
    """Give the lines with the keys that a file's rows would have: sku, and the how-manieth such line it is."""
    shop = the_shop()
    nth: Counter[str] = Counter()
    for row in summed.lines:
        sku = row.get("sku", "")
        nth[sku] += 1
        yield (summed.order_id, f"#{nth[sku]}#{sku}", *read_line(row, shop)[2:])
