"""What orders look like: each is what all messages about it, in the order of their times, add up to.

The only writer of ``OrderMessage``. What browsers say of an order makes a draft, which is pending; what a server,
the API or a file says of it replaces the draft whole, and from then on browsers alter nothing. Refunds and
cancellations of browsers count for nothing; those of a server wait for the order of somebody who is trusted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from core.db import dialect
from core.db.execution import batches
from core.values import decimals, sortable_values
from customers.identity.lookup import CUSTOMER_ID
from customers.ingestion import line_writer, writer
from customers.ingestion.results import Origin
from customers.models import Identity, Order, OrderMessage
from customers.rows.kinds import ORDER_LINES, ORDERS
from customers.rows.parsing import Record, read_line
from customers.rows.settings import shop_settings

Action, Status = OrderMessage.Action, Order.Status
_SALES: Final = (Action.COMPLETED, Action.UPDATED)
MAX_MESSAGES_PER_DRAFT: Final = 50  # the first ones: anybody can send any number


@dataclass(slots=True)
class _OrderState:
    """What notes add up to; None and an empty list are not given."""

    order_id: str
    whose: Identity | None
    placed_at: datetime | None = None
    status: str | None = None
    total: int | None = None
    discount: int | None = None
    refunded: int | None = None
    currency: str | None = None
    coupon: str | None = None
    lines: list[dict[str, str]] = field(default_factory=list)
    is_draft: bool = False

    def lay_over(self, told: Mapping[str, Any]) -> None:
        """Take what a later sale says, and keep what it leaves open."""
        self.total = told.get("total", self.total)
        self.discount = told.get("discount", self.discount)
        self.currency = told.get("currency", self.currency)
        self.coupon = told.get("coupon", self.coupon)
        self.lines = told.get("lines", self.lines)


def record_order_messages(notes: Sequence[OrderMessage], moved: Iterable[int], now: datetime) -> None:
    """Keep what messages say of orders, and bring these in line, and those of identities that have moved."""
    notes = [one for one in notes if one.is_trusted or one.action in _SALES]
    order_ids = {one.order_id for one in notes}
    known, stored = _messages_by_order(order_ids), _orders_by_id(order_ids)
    for one in notes:
        earlier = known.setdefault(one.order_id, [])
        trusted = [other for other in earlier if other.is_trusted]
        one.is_late = one.is_trusted and (
            any(other.is_late for other in trusted)
            or (
                _is_confirmed(stored.get(one.order_id))
                and not any(other.action in _SALES for other in trusted)
            )
        )
        earlier.append(one)
    _store_messages(known, stored)
    for part in batches([*moved]):
        order_ids |= set(OrderMessage.objects.filter(identity__in=part).values_list("order_id", flat=True))
    if order_ids:
        _write_orders(_messages_by_order(order_ids), _orders_by_id(order_ids), now)


def confirm_orders(order_ids: Sequence[str], now: datetime) -> None:
    """Let what waited for orders follow, now that a file or the API tells of them; drafts of them are forgotten."""
    for part in batches(order_ids):
        OrderMessage.objects.filter(order_id__in=part, is_trusted=False).delete()
        OrderMessage.objects.filter(order_id__in=part).update(is_late=True)
    _write_orders(_messages_by_order(order_ids), _orders_by_id(order_ids), now)


def _store_messages(known: Mapping[str, Sequence[OrderMessage]], stored: Mapping[str, Order]) -> None:
    """Write new notes, but of browsers no more than make a draft, and none once the order is confirmed."""
    kept: list[OrderMessage] = []
    dropped: list[int] = []
    for order_id, notes in known.items():
        told = sorted((one for one in notes if not one.is_trusted), key=_draft_sort_key)
        is_confirmed = _is_confirmed(stored.get(order_id)) or any(
            one.is_trusted and one.action in _SALES for one in notes
        )
        room = 0 if is_confirmed else MAX_MESSAGES_PER_DRAFT
        dropped += [one.pk for one in told[room:] if not one._state.adding]
        kept += [one for one in told[:room] if one._state.adding]
        kept += [one for one in notes if one.is_trusted and one._state.adding]
    OrderMessage.objects.bulk_create(kept, ignore_conflicts=True)
    for part in batches(dropped):
        OrderMessage.objects.filter(pk__in=part).delete()


def _is_confirmed(order: Order | None) -> bool:
    """Tell whether somebody who is trusted has told of an order."""
    return order is not None and not order.is_draft


def _messages_by_order(order_ids: Iterable[str]) -> dict[str, list[OrderMessage]]:
    known: dict[str, list[OrderMessage]] = defaultdict(list)
    for part in batches([*order_ids]):
        for one in OrderMessage.objects.filter(order_id__in=part).select_related("identity"):
            known[one.order_id].append(one)
    return known


def _orders_by_id(order_ids: Iterable[str]) -> dict[str, Order]:
    return {
        one.order_id: one for part in batches([*order_ids]) for one in Order.objects.filter(order_id__in=part)
    }


def _write_orders(
    known: Mapping[str, Sequence[OrderMessage]], stored: Mapping[str, Order], now: datetime
) -> None:
    summed = [one for order_id, notes in known.items() if (one := _order_state(notes, stored.get(order_id)))]
    for origin in (Origin.SERVER, Origin.BROWSER):
        sums = [one for one in summed if one.is_draft == (origin is Origin.BROWSER)]
        if sums:
            writer.ingest(ORDERS, enumerate(map(_order_record, sums)), now, origin=origin, notify=False)
        lines = [record for one in sums for record in _line_records(one)]
        if lines:
            writer.ingest(ORDER_LINES, enumerate(lines), now, origin=origin, notify=False)
            line_writer.delete_other_lines((record[0], record[1]) for record in lines)


def _order_state(notes: Iterable[OrderMessage], stored: Order | None) -> _OrderState | None:
    """Add the notes of an order up; None where they make no order, or alter nothing of the one there is."""
    trusted = sorted((one for one in notes if one.is_trusted), key=_sort_key)
    sales = [one for one in trusted if one.action in _SALES]
    order = stored if _is_confirmed(stored) else None
    if sales or (trusted and order):
        return _confirmed_sum(trusted, sales, order)
    told = sorted((one for one in notes if not one.is_trusted), key=_draft_sort_key)
    return _draft_state(told) if told and not order else None


def _draft_state(sales: Sequence[OrderMessage]) -> _OrderState:
    """Make a draft of what the browser says that named it first; another one's words do not touch it."""
    whose = sales[0].identity
    own = sorted((one for one in sales if one.identity_id == whose.pk), key=_sort_key)
    summed = _OrderState(sales[0].order_id, whose, status=Status.PENDING, is_draft=True)
    for one in own:
        summed.lay_over(one.told)
    completed = [one for one in own if one.action == Action.COMPLETED]
    summed.placed_at = min(one.at for one in completed or own)
    return summed


def _confirmed_sum(
    trusted: Sequence[OrderMessage], sales: Sequence[OrderMessage], order: Order | None
) -> _OrderState:
    """Add trusted notes up, and nothing that browsers say; a refund or a cancellation moves no order."""
    is_others = order is not None and (not sales or any(one.is_late for one in trusted))
    summed = _OrderState(trusted[0].order_id, _owner(sales) if sales else None)
    for one in sales:
        summed.lay_over(one.told)
    completed = [one for one in sales if one.action == Action.COMPLETED]
    if completed or not is_others:
        summed.placed_at = min(one.at for one in completed or sales)
    if not is_others:
        summed.status = Status.PAID
    _apply_status_and_refunds(summed, trusted, decimals.to_units(order.total) if order and is_others else 0)
    return summed


def _sort_key(one: OrderMessage) -> tuple[datetime, str, bool]:
    return one.at, one.message_id, one.is_from_browser


def _draft_sort_key(one: OrderMessage) -> tuple[bool, datetime, str]:
    """Sort first who may say best whose a draft is: whom the shop has signed, then who said so first."""
    return not one.is_signed, one.at, one.message_id


def _owner(notes: Iterable[OrderMessage]) -> Identity:
    """Give whose order it is: who knows a customer id says it best, then who says it last."""
    latest = max(notes, key=lambda one: (one.identity.kind == CUSTOMER_ID, *_sort_key(one)))
    return latest.identity


def _apply_status_and_refunds(
    summed: _OrderState, trusted: Iterable[OrderMessage], total_before: int
) -> None:
    """Follow an order from its sale to what became of it, as those say who may."""
    total = total_before if summed.total is None else summed.total
    refunded = 0
    for one in trusted:
        match one.action:
            case Action.CANCELLED:
                summed.status = Status.CANCELLED
            case Action.REFUNDED:
                refunded += _refund_amount(one.told, summed, total)
                if refunded >= total:
                    refunded, summed.status = total, Status.REFUNDED
                summed.refunded = refunded
            case _ if "status" in one.told:
                summed.status = one.told["status"]


def _refund_amount(told: Mapping[str, Any], summed: _OrderState, total: int) -> int:
    """Give the amount of one refund; one that names neither an amount nor lines is of everything."""
    if "amount" in told:
        return int(told["amount"])
    if "lines" not in told:
        return total
    prices = {line["sku"]: decimals.parse_units(line.get("unit_price", "0")) for line in summed.lines}
    value = 0
    for sku, quantity, price in told["lines"]:
        each = prices.get(sku, 0) if price is None else price
        value += each * (decimals.SCALE if quantity is None else quantity) // decimals.SCALE
    return abs(value)


def _order_record(summed: _OrderState) -> Record:
    whose = summed.whose
    is_customer = whose is not None and whose.kind == CUSTOMER_ID
    return (
        summed.order_id,
        whose.value if whose and is_customer else None,
        whose.value if whose and not is_customer else None,
        dialect.datetime_param(summed.placed_at) if summed.placed_at else None,
        summed.status,
        summed.total,
        summed.discount,
        summed.refunded,
        summed.currency,
        summed.coupon,
        sortable_values.fold_case(summed.coupon) if summed.coupon else None,
    )


def _line_records(summed: _OrderState) -> Iterator[Record]:
    """Give the lines with the keys that a file's rows would have: sku, and the how-manieth such line it is."""
    shop = shop_settings()
    nth: Counter[str] = Counter()
    for row in summed.lines:
        line = read_line(row, shop)[2:]
        sku = line[0] or ""
        nth[sku] += 1
        yield (summed.order_id, f"#{nth[sku]}#{sku}", *line)
