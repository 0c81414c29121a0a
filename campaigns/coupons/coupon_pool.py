"""Coupon pools: assigning one code to each journey, and finding codes.

The only writer of ``CouponPool``. It assigns and deletes ``Coupon`` rows, which ``pool_codes`` adds.

A code is assigned to one customer and never again, even after an erasure. Anybody can create visitors with the key of
a browser, so unconfirmed visitors get a limited number of codes per pool and hour (``COUPONS_UNCONFIRMED_AN_HOUR``).
"""

from datetime import UTC, datetime, time, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from campaigns.models import Campaign, Coupon, CouponPool, Delivery
from core.db import execution
from core.shop import shop
from core.values import sortable_values
from customers.identity import confirmation
from customers.models import Customer

from .pool_codes import MAX_CODE_LENGTH

UNCONFIRMED_PERIOD: Final = timedelta(hours=1)
NO_POOL: Final = "The campaign has no pool of codes. Choose one, or remove {{ coupon }} from the message."
EMPTY_POOL: Final = "No code is left in the pool. Import or generate more."
POOL_ENDED: Final = "The codes of the pool have expired. Choose another pool, or give it a later last day."


class NoCodeAvailable(Exception):
    """No code can be assigned. The text says what to do."""


class UnconfirmedLimitReached(NoCodeAvailable):
    """Unconfirmed visitors have reached the hourly limit of codes of the pool."""

    def __init__(self) -> None:
        limit = settings.COUPONS_UNCONFIRMED_AN_HOUR
        super().__init__(
            f"Unconfirmed visitors get at most {limit} codes of a pool in an hour. This message waits."
        )


class PoolInUse(Exception):
    """The pool cannot be deleted. The text says why."""


# -- Assigning


def assign_code(campaign: Campaign, customer: Customer, at: datetime, occasion: str = "") -> str:
    """Return the customer's code of this campaign and occasion: the one they have, else one that nobody has.

    Raises NoCodeAvailable, also once the codes have expired.
    """
    if has_ended(campaign, at):
        raise NoCodeAvailable(POOL_ENDED)
    if assigned := assigned_code(campaign, customer, occasion):
        return assigned
    if campaign.pool_id is None:
        raise NoCodeAvailable(NO_POOL)
    try:
        with transaction.atomic():
            return _assign_free_code(campaign, customer, at, occasion)
    except (IntegrityError, NoCodeAvailable):
        # Another process may have assigned one meanwhile, perhaps the last.
        if assigned := assigned_code(campaign, customer, occasion):
            return assigned
        raise


def assigned_code(campaign: Campaign, customer: Customer, occasion: str | None = None) -> str:
    """Return the code that a customer has from a campaign, of one occasion or the latest; empty if none."""
    coupons = Coupon.objects.filter(campaign=campaign, customer=customer)
    if occasion is not None:
        coupons = coupons.filter(occasion=occasion)
    return coupons.order_by("-given_at", "-pk").values_list("code", flat=True).first() or ""


def has_ended(campaign: Campaign, at: datetime) -> bool:
    """Return whether the last day of a campaign's codes is over."""
    return bool(campaign.pool and campaign.pool.ends_at and campaign.pool.ends_at <= at)


def unconfirmed_count(pool_id: int, at: datetime) -> int:
    """Count the codes of a pool that unconfirmed visitors got in the hour before ``at``."""
    given = Coupon.objects.filter(pool_id=pool_id, is_unconfirmed=True, given_at__gt=at - UNCONFIRMED_PERIOD)
    return given.count()


def waiting_count(pool_id: int) -> int:
    """Count the messages that wait because of the hourly limit for unconfirmed visitors."""
    waiting = Delivery.objects.filter(campaign__pool=pool_id, state=Delivery.State.PLANNED)
    return waiting.filter(reason=str(UnconfirmedLimitReached())).count()


def has_free_code(pool_id: int) -> bool:
    return _free_codes_queryset(pool_id).exists()


def reassign_coupons(merged: str) -> None:
    """Reassign the codes of merged visitors to their customers, except a second one of the same occasion.

    ``merged`` is a table of visitor and customer, inside the transaction that merges them. The occasion of a date
    becomes the visitor's own, as that of the journey does.
    """
    execution.execute(
        f"""UPDATE campaigns_coupon SET occasion = occasion || ':' || customer_id
            WHERE customer_id IN (SELECT visitor FROM {merged}) AND occasion LIKE 'date:%%'"""
    )
    execution.execute(
        f"""UPDATE campaigns_coupon SET customer_id =
                (SELECT j.customer FROM {merged} j WHERE j.visitor = campaigns_coupon.customer_id)
            WHERE id IN (
                SELECT min(c.id) FROM campaigns_coupon c JOIN {merged} j ON j.visitor = c.customer_id
                WHERE NOT EXISTS (SELECT 1 FROM campaigns_coupon own
                    WHERE own.customer_id = j.customer AND own.campaign_id = c.campaign_id
                        AND own.occasion = c.occasion)
                GROUP BY c.campaign_id, c.occasion, j.customer)"""
    )


def _assign_free_code(campaign: Campaign, customer: Customer, at: datetime, occasion: str) -> str:
    assert campaign.pool_id is not None
    is_unconfirmed = not confirmation.is_confirmed(customer)
    if is_unconfirmed:
        # One after another, so that each counts the codes before it.
        CouponPool.objects.select_for_update(no_key=True).get(pk=campaign.pool_id)
        if unconfirmed_count(campaign.pool_id, at) >= settings.COUPONS_UNCONFIRMED_AN_HOUR:
            raise UnconfirmedLimitReached
    free = _free_codes_queryset(campaign.pool_id).order_by("id")
    # Skip codes that others are assigning; if none is left, wait for those.
    coupon = free.select_for_update(skip_locked=True).first() or free.select_for_update().first()
    if coupon is None:
        raise NoCodeAvailable(EMPTY_POOL)
    coupon.customer, coupon.campaign, coupon.given_at = customer, campaign, at
    coupon.occasion, coupon.is_unconfirmed = occasion, is_unconfirmed
    coupon.save(update_fields=["customer", "campaign", "occasion", "given_at", "is_unconfirmed"])
    return coupon.code


def _free_codes_queryset(pool_id: int) -> QuerySet[Coupon]:
    return Coupon.objects.filter(pool_id=pool_id, given_at=None, redeemed_at=None)


# -- Saving


def save_pool(pool: CouponPool) -> CouponPool:
    """Validate and save a pool; sets ``ends_at`` from ``last_day``."""
    pool.ends_at = None
    if pool.last_day:
        next_day = datetime.combine(pool.last_day + timedelta(days=1), time())
        pool.ends_at = next_day.replace(tzinfo=shop().zone).astimezone(UTC)
    pool.full_clean()
    pool.save()
    return pool


# -- Deleting


def delete_free_codes(pool: CouponPool) -> int:
    """Delete the unassigned codes of a pool. Return how many."""
    removed, _ = _free_codes_queryset(pool.pk).delete()
    return removed


def delete_pool(pool: CouponPool) -> None:
    """Delete a pool. Raises PoolInUse."""
    with transaction.atomic():
        if pool.campaigns.exists():
            raise PoolInUse(f"{pool.name} is used by a campaign. Choose another pool there first.")
        delete_free_codes(pool)
        if pool.coupons.exists():
            raise PoolInUse(f"{pool.name} cannot be deleted, because customers have codes of it.")
        pool.delete()


# -- Finding


def find_coupon(code: str) -> Coupon | None:
    """Return a code, ignoring case; None if it does not exist."""
    if "\x00" in code or len(code) > MAX_CODE_LENGTH:
        return None
    coupons = Coupon.objects.filter(code_folded=sortable_values.fold_case(code))
    return coupons.select_related("pool", "campaign").first()


def with_counts(pools: QuerySet[CouponPool]) -> QuerySet[CouponPool]:
    """Add to pools how many codes they have: ``total``, ``free``, ``given``, and ``redeemed`` as seen in orders."""
    return pools.annotate(
        total=Count("coupons"),
        free=Count("coupons", filter=Q(coupons__given_at=None, coupons__redeemed_at=None)),
        given=Count("coupons", filter=Q(coupons__given_at__isnull=False)),
        redeemed=Count("coupons", filter=Q(coupons__redeemed_at__isnull=False)),
    )
