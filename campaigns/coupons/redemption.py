"""Which codes the orders of customers have used. Writes ``Coupon.redeemed_at``."""

from datetime import datetime

from core.db import dialect, execution, temporary_tables
from customers.models import COUNTING_STATUSES


def mark_redeemed(since: datetime | None, at: datetime) -> int:
    """Record when codes were first used in counting orders. Return how many are new.

    Read the orders placed in ``(since, at]``, or all orders without ``since``; then codes whose orders were all
    cancelled or are pending become free again. Unassigned codes count, too: a used code is not assigned any more.
    Drafts redeem nothing, because anybody can enter any code in one.
    """
    counting = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)
    first_at = f"""min(CASE WHEN status IN ({counting}) AND NOT is_draft AND placed_at <= %(at)s
        THEN placed_at END)"""
    temporary_tables.create_temporary_table(
        "used_codes", f"code text PRIMARY KEY, first_at {dialect.datetime_type_sql()}, is_used integer"
    )
    found = execution.execute(
        f"""INSERT INTO used_codes
            SELECT coupon_code_folded, {first_at},
                max(CASE WHEN status IN ('cancelled', 'pending') THEN 0 ELSE 1 END)
            FROM customers_order WHERE coupon_code_folded <> ''
                {"AND placed_at > %(since)s AND placed_at <= %(at)s" if since else ""}
            GROUP BY coupon_code_folded""",
        {"at": dialect.datetime_param(at), "since": dialect.datetime_param(since or at)},
    )
    if not found:
        return 0
    # After its last day a code is worth nothing.
    redeemed = execution.execute(
        """UPDATE campaigns_coupon SET redeemed_at = used.first_at FROM (
                SELECT c.id, u.first_at FROM used_codes u
                JOIN campaigns_coupon c ON c.code_folded = u.code
                JOIN campaigns_couponpool p ON p.id = c.pool_id
                WHERE c.redeemed_at IS NULL AND u.first_at IS NOT NULL
                    AND (p.ends_at IS NULL OR p.ends_at > u.first_at)) AS used
            WHERE used.id = campaigns_coupon.id"""
    )
    if since is None:
        execution.execute(
            """UPDATE campaigns_coupon SET redeemed_at = NULL WHERE redeemed_at IS NOT NULL
                AND code_folded IN (SELECT code FROM used_codes WHERE is_used = 0)"""
        )
    temporary_tables.empty_table("used_codes")
    return redeemed
