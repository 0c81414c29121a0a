"""Orders of messages: an order is the result of all messages about it, in the order of their times.

The only writer of ``OrderMessage``. An order that only browsers report is a draft, which is pending. An order of a
server, the API or a file replaces the draft completely, and from then on browsers change nothing. Refunds and
cancellations by browsers are ignored; those by a server wait until a trusted source reports the order.
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
from customers.ingestion import line_writer, record_keys, writer
from customers.ingestion.results import Origin
from customers.models import Identity, Order, OrderMessage
from customers.rows.kinds import ORDER_LINES, ORDERS
from customers.rows.parsing import Record, read_line
from customers.rows.settings import shop_settings

Action, Status = OrderMessage.Action, Order.Status
_SALES: Final = (Action.COMPLETED, Action.UPDATED)
MAX_MESSAGES_PER_DRAFT: Final = 50  # anybody can send messages with the key of a browser


@dataclass(slots=True)
class _OrderState:
    """An order as its messages describe it. None and an empty list mean that no message has the value."""

    order_id: str
    owner: Identity | None
    placed_at: datetime | None = None
    status: str | None = None
    total: int | None = None
    discount: int | None = None
    refunded: int | None = None
    currency: str | None = None
    coupon: str | None = None
    lines: list[dict[str, str]] = field(default_factory=list)
    is_draft: bool = False

    def apply_sale(self, values: Mapping[str, Any]) -> None:
        """Apply the values of a later message; values that it does not have stay."""
        self.total = values.get("total", self.total)
        self.discount = values.get("discount", self.discount)
        self.currency = values.get("currency", self.currency)
        self.coupon = values.get("coupon", self.coupon)
        self.lines = values.get("lines", self.lines)


def record_order_messages(messages: Sequence[OrderMessage], moved: Iterable[int], at: datetime) -> None:
    """Store messages about orders, and update these orders and those of ``moved`` identities."""
    messages = [message for message in messages if message.is_trusted or message.action in _SALES]
    order_ids = {message.order_id for message in messages}
    known, stored = _messages_by_order(order_ids), record_keys.find_orders(order_ids)
    for message in messages:
        earlier = known.setdefault(message.order_id, [])
        trusted = [other for other in earlier if other.is_trusted]
        message.is_late = message.is_trusted and (
            any(earlier_message.is_late for earlier_message in trusted)
            or (
                _is_confirmed(stored.get(message.order_id))
                and not any(earlier_message.action in _SALES for earlier_message in trusted)
            )
        )
        earlier.append(message)
    _store_messages(known, stored)
    for part in batches([*moved]):
        order_ids |= set(OrderMessage.objects.filter(identity__in=part).values_list("order_id", flat=True))
    if order_ids:
        _write_orders(_messages_by_order(order_ids), record_keys.find_orders(order_ids), at)


def confirm_orders(order_ids: Sequence[str], at: datetime) -> None:
    """Apply waiting refunds and cancellations to orders that a file or the API reports, and delete their drafts."""
    for part in batches(order_ids):
        OrderMessage.objects.filter(order_id__in=part, is_trusted=False).delete()
        OrderMessage.objects.filter(order_id__in=part).update(is_late=True)
    _write_orders(_messages_by_order(order_ids), record_keys.find_orders(order_ids), at)


def _store_messages(known: Mapping[str, Sequence[OrderMessage]], stored: Mapping[str, Order]) -> None:
    """Store new messages; of browsers, only the first ones of a draft, and none for a confirmed order."""
    kept: list[OrderMessage] = []
    dropped: list[int] = []
    for order_id, messages in known.items():
        from_browsers = sorted(
            (message for message in messages if not message.is_trusted), key=_draft_sort_key
        )
        is_confirmed = _is_confirmed(stored.get(order_id)) or any(
            message.is_trusted and message.action in _SALES for message in messages
        )
        limit = 0 if is_confirmed else MAX_MESSAGES_PER_DRAFT
        dropped += [message.pk for message in from_browsers[limit:] if not message._state.adding]
        kept += [message for message in from_browsers[:limit] if message._state.adding]
        kept += [message for message in messages if message.is_trusted and message._state.adding]
    OrderMessage.objects.bulk_create(kept, ignore_conflicts=True)
    for part in batches(dropped):
        OrderMessage.objects.filter(pk__in=part).delete()


def _is_confirmed(order: Order | None) -> bool:
    """Return whether a trusted source has reported an order."""
    return order is not None and not order.is_draft


def _messages_by_order(order_ids: Iterable[str]) -> dict[str, list[OrderMessage]]:
    known: dict[str, list[OrderMessage]] = defaultdict(list)
    for part in batches([*order_ids]):
        for message in OrderMessage.objects.filter(order_id__in=part).select_related("identity"):
            known[message.order_id].append(message)
    return known


def _write_orders(
    known: Mapping[str, Sequence[OrderMessage]], stored: Mapping[str, Order], at: datetime
) -> None:
    all_states = [
        state
        for order_id, messages in known.items()
        if (state := _order_state(messages, stored.get(order_id)))
    ]
    for origin in (Origin.SERVER, Origin.BROWSER):
        states = [state for state in all_states if state.is_draft == (origin is Origin.BROWSER)]
        if states:
            writer.ingest(ORDERS, enumerate(map(_order_record, states)), at, origin=origin, notify=False)
        lines = [record for state in states for record in _line_records(state)]
        if lines:
            writer.ingest(ORDER_LINES, enumerate(lines), at, origin=origin, notify=False)
            line_writer.delete_other_lines((record[0], record[1]) for record in lines)


def _order_state(messages: Iterable[OrderMessage], stored: Order | None) -> _OrderState | None:
    """Return the order that messages describe, or None if they describe none or change nothing of the stored one."""
    trusted = sorted((message for message in messages if message.is_trusted), key=_sort_key)
    sales = [message for message in trusted if message.action in _SALES]
    order = stored if _is_confirmed(stored) else None
    if sales or (trusted and order):
        return _confirmed_state(trusted, sales, order)
    from_browsers = sorted((message for message in messages if not message.is_trusted), key=_draft_sort_key)
    return _draft_state(from_browsers) if from_browsers and not order else None


def _draft_state(sales: Sequence[OrderMessage]) -> _OrderState:
    """Return the draft of the browser that reported the order first; messages of other browsers do not change it."""
    owner = sales[0].identity
    own = sorted((message for message in sales if message.identity_id == owner.pk), key=_sort_key)
    state = _OrderState(sales[0].order_id, owner, status=Status.PENDING, is_draft=True)
    for message in own:
        state.apply_sale(message.values)
    completed = [message for message in own if message.action == Action.COMPLETED]
    state.placed_at = min(message.at for message in completed or own)
    return state


def _confirmed_state(
    trusted: Sequence[OrderMessage], sales: Sequence[OrderMessage], order: Order | None
) -> _OrderState:
    """Return the order of trusted messages. Only sales set its time and owner, not refunds or cancellations."""
    is_imported = order is not None and (not sales or any(message.is_late for message in trusted))
    state = _OrderState(trusted[0].order_id, _owner(sales) if sales else None)
    for message in sales:
        state.apply_sale(message.values)
    completed = [message for message in sales if message.action == Action.COMPLETED]
    if completed or not is_imported:
        state.placed_at = min(message.at for message in completed or sales)
    if not is_imported:
        state.status = Status.PAID
    _apply_status_and_refunds(state, trusted, decimals.to_units(order.total) if order and is_imported else 0)
    return state


def _sort_key(message: OrderMessage) -> tuple[datetime, str, bool]:
    return message.at, message.message_id, message.is_from_browser


def _draft_sort_key(message: OrderMessage) -> tuple[bool, datetime, str]:
    """Sort signed messages first, then by time: the first message decides whose draft it is."""
    return not message.is_signed, message.at, message.message_id


def _owner(messages: Iterable[OrderMessage]) -> Identity:
    """Return the owner of an order: of the latest message with a customer id, or else of the latest message."""
    latest = max(messages, key=lambda message: (message.identity.kind == CUSTOMER_ID, *_sort_key(message)))
    return latest.identity


def _apply_status_and_refunds(state: _OrderState, trusted: Iterable[OrderMessage], total_before: int) -> None:
    """Apply statuses, cancellations and refunds of trusted messages to an order, in the order of their times."""
    total = total_before if state.total is None else state.total
    refunded = 0
    for message in trusted:
        match message.action:
            case Action.CANCELLED:
                state.status = Status.CANCELLED
            case Action.REFUNDED:
                refunded += _refund_amount(message.values, state, total)
                if refunded >= total:
                    refunded, state.status = total, Status.REFUNDED
                state.refunded = refunded
            case _ if "status" in message.values:
                state.status = message.values["status"]


def _refund_amount(values: Mapping[str, Any], state: _OrderState, total: int) -> int:
    """Return the amount of one refund; without an amount and lines, it is a full refund."""
    if "amount" in values:
        return int(values["amount"])
    if "lines" not in values:
        return total
    prices = {line["sku"]: decimals.parse_units(line.get("unit_price", "0")) for line in state.lines}
    value = 0
    for sku, quantity, price in values["lines"]:
        each = prices.get(sku, 0) if price is None else price
        value += each * (decimals.SCALE if quantity is None else quantity) // decimals.SCALE
    return abs(value)


def _order_record(state: _OrderState) -> Record:
    owner = state.owner
    is_customer = owner is not None and owner.kind == CUSTOMER_ID
    return (
        state.order_id,
        owner.value if owner and is_customer else None,
        owner.value if owner and not is_customer else None,
        dialect.datetime_param(state.placed_at) if state.placed_at else None,
        state.status,
        state.total,
        state.discount,
        state.refunded,
        state.currency,
        state.coupon,
        sortable_values.fold_case(state.coupon) if state.coupon else None,
    )


def _line_records(state: _OrderState) -> Iterator[Record]:
    """Return the lines with the keys that rows of a file get: the sku and its number among the lines with that sku."""
    shop = shop_settings()
    numbers: Counter[str] = Counter()
    for row in state.lines:
        line = read_line(row, shop)[2:]
        sku = line[0] or ""
        numbers[sku] += 1
        yield (state.order_id, f"#{numbers[sku]}#{sku}", *line)
