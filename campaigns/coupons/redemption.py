"""Which codes the orders of customers have used. Writes ``Coupon.redeemed_at``."""

from datetime import datetime

from core.db import dialect, execution
from customers.models import COUNTING_STATUSES


def mark_redeemed(since: datetime | None, at: datetime) -> int:
    """Record when codes were first used in counting orders. Return how many are new.

    Read the orders placed in ``(since, at]``, or all orders without ``since``; then codes whose orders were all
    cancelled or are pending become free again. Unassigned codes count, too: a used code is not assigned any more.
    Drafts redeem nothing, because anybody can enter any code in one.
    """
    placed = "o.placed_at <= %(at)s AND o.coupon_code_folded <> ''"
    if since:
        placed += " AND o.placed_at > %(since)s"
    # After its last day a code is worth nothing.
    placed += (
        " AND NOT EXISTS ("
        "SELECT 1 FROM campaigns_couponpool p WHERE p.id = c.pool_id AND p.ends_at <= o.placed_at)"
    )
    counting = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)
    moments = {"at": dialect.datetime_param(at), "since": dialect.datetime_param(since or at)}
    redeemed = execution.execute(
        f"""UPDATE campaigns_coupon SET redeemed_at = used.first_at FROM (
                SELECT c.id, min(o.placed_at) AS first_at
                FROM customers_order o JOIN campaigns_coupon c ON c.code_folded = o.coupon_code_folded
                WHERE c.redeemed_at IS NULL AND o.status IN ({counting}) AND NOT o.is_draft AND {placed}
                GROUP BY c.id) AS used
            WHERE used.id = campaigns_coupon.id""",
        moments,
    )
    if since is None:
        codes = "SELECT o.coupon_code_folded FROM customers_order o WHERE o.coupon_code_folded <> ''"
        execution.execute(
            f"""UPDATE campaigns_coupon SET redeemed_at = NULL WHERE redeemed_at IS NOT NULL
                AND code_folded IN ({codes} AND o.status IN ('cancelled', 'pending'))
                AND code_folded NOT IN ({codes} AND o.status NOT IN ('cancelled', 'pending'))"""
        )
    return redeemed
