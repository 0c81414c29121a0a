"""Coupon codes: pools filled, one code for each journey of a customer, redemption seen.

The only writer of ``CouponPool`` and ``Coupon``.

A code is given once, whatever happens at the same moment, and stays given, also when its customer is erased.
Anybody can make visitors with the key of a browser, so those whom nothing else confirms get a set number an hour of a
pool (``COUPONS_UNCONFIRMED_AN_HOUR``).
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from campaigns.models import Campaign, Coupon, CouponPool, Delivery
from core.db import dialect, execution, temporary_tables
from core.values import sortable_values
from core.values.text_cleaning import to_nfc
from customers.identity import confirmation
from customers.models import COUNTING_STATUSES, Customer

ALPHABET: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # nothing that is read as another: no 0, O, 1, I, L
LONGEST: Final = 100
LONGEST_FOLDED: Final = 200
SHORTEST_MADE, LONGEST_MADE = 8, 32  # the shortest cannot be guessed: 850 billion ways
MOST_MADE: Final = 100_000
MOST_TOLD: Final = 20
HOUR: Final = timedelta(hours=1)
NO_POOL: Final = "The campaign has no pool of codes: choose one, or take {{ coupon }} out of the message."
EMPTY_POOL: Final = "No code is left in the pool: import or generate more."
ENDED: Final = "The last day of the pool's codes is over: choose another pool, or give it a later last day."
_HEADINGS: Final = frozenset({"code", "codes", "coupon", "coupon code", "coupon_code", "discount code"})


class NoneLeft(Exception):
    """No code can be given; the message says what to do."""


class HeldBack(NoneLeft):
    """Too many unconfirmed visitors had a code of the pool within an hour; this one waits."""

    def __init__(self) -> None:
        most = settings.COUPONS_UNCONFIRMED_AN_HOUR
        super().__init__(
            f"Unconfirmed visitors get at most {most} codes of a pool an hour, and these are given: this one waits."
        )


class InUse(Exception):
    """What may not be deleted; the message says why."""


class BadFile(ValueError):
    """A file that holds no codes; the message says what is wrong with it."""


@dataclass(frozen=True)
class Filled:
    """What became of codes: how many are new, how many were there before, and the first that will not do, with why."""

    added: int
    known: int
    refused: int
    reasons: tuple[str, ...] = ()


# -- Giving


def give(campaign: Campaign, customer: Customer, at: datetime, occasion: str = "") -> str:
    """Return the customer's code of this campaign and occasion: the one they have, else one that nobody has.

    Raises NoneLeft, also once the last day of the codes is over.
    """
    if has_ended(campaign, at):
        raise NoneLeft(ENDED)
    if held := held_by(campaign, customer, occasion):
        return held
    if campaign.pool_id is None:
        raise NoneLeft(NO_POOL)
    try:
        with transaction.atomic():
            return _take(campaign, customer, at, occasion)
    except (IntegrityError, NoneLeft):
        # Somebody else may have given them one a moment ago, and be it the last.
        if held := held_by(campaign, customer, occasion):
            return held
        raise


def held_by(campaign: Campaign, customer: Customer, occasion: str | None = None) -> str:
    """Return the code that a customer has of a campaign: from an occasion, or the latest; else nothing."""
    held = Coupon.objects.filter(campaign=campaign, customer=customer)
    if occasion is not None:
        held = held.filter(occasion=occasion)
    return held.order_by("-given_at", "-pk").values_list("code", flat=True).first() or ""


def has_ended(campaign: Campaign, at: datetime) -> bool:
    """Return whether the last day of a campaign's codes is over."""
    return bool(campaign.pool and campaign.pool.ends_at and campaign.pool.ends_at <= at)


def unconfirmed_in_the_hour(pool_id: int, at: datetime) -> int:
    """Count the codes of a pool that unconfirmed visitors got in the hour before an instant."""
    given = Coupon.objects.filter(pool_id=pool_id, is_unconfirmed=True, given_at__gt=at - HOUR)
    return given.count()


def held_back(pool_id: int) -> int:
    """Count the messages that wait since too many unconfirmed visitors had a code of the pool."""
    waiting = Delivery.objects.filter(campaign__pool=pool_id, state=Delivery.State.PLANNED)
    return waiting.filter(reason=str(HeldBack())).count()


def has_free(pool_id: int) -> bool:
    """Tell whether a pool has a code to give."""
    return _free(pool_id).exists()


def follow_joins(joined: str) -> None:
    """Let the codes of visitors be those of the customers they turned out to be, but for a second one of an occasion.

    ``joined`` is a table of visitor and customer, inside the transaction that joins them. The occasion of a date is
    told apart as that of the journey is.
    """
    execution.execute(
        f"""UPDATE campaigns_coupon SET occasion = occasion || ':' || customer_id
            WHERE customer_id IN (SELECT visitor FROM {joined}) AND occasion LIKE 'date:%%'"""
    )
    execution.execute(
        f"""UPDATE campaigns_coupon SET customer_id =
                (SELECT j.customer FROM {joined} j WHERE j.visitor = campaigns_coupon.customer_id)
            WHERE id IN (
                SELECT min(c.id) FROM campaigns_coupon c JOIN {joined} j ON j.visitor = c.customer_id
                WHERE NOT EXISTS (SELECT 1 FROM campaigns_coupon own
                    WHERE own.customer_id = j.customer AND own.campaign_id = c.campaign_id
                        AND own.occasion = c.occasion)
                GROUP BY c.campaign_id, c.occasion, j.customer)"""
    )


def _take(campaign: Campaign, customer: Customer, at: datetime, occasion: str) -> str:
    assert campaign.pool_id is not None
    is_unconfirmed = not confirmation.is_confirmed(customer)
    if is_unconfirmed:
        # One after the other: each counts those before it.
        CouponPool.objects.select_for_update(no_key=True).get(pk=campaign.pool_id)
        if unconfirmed_in_the_hour(campaign.pool_id, at) >= settings.COUPONS_UNCONFIRMED_AN_HOUR:
            raise HeldBack
    free = _free(campaign.pool_id).order_by("id")
    # One that nobody else is about to give; if they are about to give all that are left, whatever remains of those.
    coupon = free.select_for_update(skip_locked=True).first() or free.select_for_update().first()
    if coupon is None:
        raise NoneLeft(EMPTY_POOL)
    coupon.customer, coupon.campaign, coupon.given_at = customer, campaign, at
    coupon.occasion, coupon.is_unconfirmed = occasion, is_unconfirmed
    coupon.save(update_fields=["customer", "campaign", "occasion", "given_at", "is_unconfirmed"])
    return coupon.code


def _free(pool_id: int) -> QuerySet[Coupon]:
    return Coupon.objects.filter(pool_id=pool_id, given_at=None, redeemed_at=None)


# -- Filling


def save(pool: CouponPool) -> CouponPool:
    """Save a pool's name, what its codes are worth, and until when."""
    pool.ends_at = None
    if pool.last_day:
        next_day = datetime.combine(pool.last_day + timedelta(days=1), time())
        pool.ends_at = next_day.replace(tzinfo=ZoneInfo(settings.TIME_ZONE)).astimezone(UTC)
    pool.full_clean()
    pool.save()
    return pool


def fill(pool: CouponPool, codes: Iterable[str]) -> Filled:
    """Add codes to a pool; those of any pool that are there already stay as they are."""
    good: dict[str, str] = {}
    reasons: list[str] = []
    refused = given = 0
    for code in map(to_nfc, codes):
        given += 1
        if problem := _problem(code):
            refused += 1
            if len(reasons) < MOST_TOLD:
                reasons.append(problem)
        else:
            good.setdefault(sortable_values.fold_case(code), code)
    added = _insert(pool, good)
    return Filled(added, given - refused - added, refused, tuple(reasons))


def generate(pool: CouponPool, count: int, length: int, random: Random, prefix: str = "") -> int:
    """Make new codes that nobody can guess (``random`` is a SystemRandom outside of tests); give how many.

    Raises ValueError for a count, a length or a prefix out of bounds.
    """
    if not 1 <= count <= MOST_MADE:
        raise ValueError(f"Make 1 to {MOST_MADE:,} codes at once.")
    if not SHORTEST_MADE <= length <= LONGEST_MADE:
        raise ValueError(f"Make codes of {SHORTEST_MADE} to {LONGEST_MADE} characters.")
    if prefix and ((problem := _problem(prefix)) or len(prefix) > LONGEST - LONGEST_MADE):
        raise ValueError(problem or f"The beginning is longer than {LONGEST - LONGEST_MADE} characters.")
    prefix, made = to_nfc(prefix), 0
    while made < count:
        codes = (prefix + "".join(random.choices(ALPHABET, k=length)) for _ in range(count - made))
        made += _insert(pool, {sortable_values.fold_case(code): code for code in codes})
    return made


def in_file(text: str) -> Iterator[str]:
    """Read codes from a CSV file: of the column that is called so, else of the first. Raises BadFile."""
    head = text.partition("\n")[0]
    separator = next((one for one in (";", "\t") if one in head), ",")
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(map(str.strip, row))]
    except csv.Error as error:
        raise BadFile(f"This is no CSV file: {error}.") from None
    if not rows:
        raise BadFile("The file holds no codes.")
    names = [cell.strip().casefold() for cell in rows[0]]
    column = next((place for place, name in enumerate(names) if name in _HEADINGS), None)
    rows = rows if column is None else rows[1:]
    return (row[column or 0].strip() for row in rows if len(row) > (column or 0))


def _problem(code: str) -> str:
    if not code or len(code) > LONGEST or len(sortable_values.fold_case(code)) > LONGEST_FOLDED:
        return f"{code[:40]!r} has not 1 to {LONGEST} characters."
    if not code.isprintable() or re.search(r"[\s/\\]", code) or not code.strip("."):
        return f"{code[:40]!r}: a code has no spaces and no slashes."
    return ""


def _insert(pool: CouponPool, codes: Mapping[str, str]) -> int:
    temporary_tables.create_temporary_table("new_codes", "code text, folded text")
    with transaction.atomic():
        temporary_tables.load_rows(
            "new_codes", ("code", "folded"), ((code, folded) for folded, code in codes.items())
        )
        added = execution.execute(
            """INSERT INTO campaigns_coupon (pool_id, code, code_folded)
                SELECT %s, code, folded FROM new_codes WHERE true ON CONFLICT (code_folded) DO NOTHING""",
            [pool.pk],
        )
    temporary_tables.empty_table("new_codes")
    return added


# -- Taking away


def remove_free(pool: CouponPool) -> int:
    """Delete the codes of a pool that nobody has; give how many."""
    removed, _ = _free(pool.pk).delete()
    return removed


def delete(pool: CouponPool) -> None:
    """Delete a pool that nothing hangs on; raises InUse."""
    with transaction.atomic():
        if pool.campaigns.exists():
            raise InUse(f"{pool.name} is the pool of a campaign: choose another one there first.")
        remove_free(pool)
        if pool.coupons.exists():
            raise InUse(f"{pool.name} has codes that customers have: whose they are would be lost.")
        pool.delete()


def forget(customers: Sequence[int]) -> None:
    """Keep no longer whom codes were given to; nobody else gets them."""
    Coupon.objects.filter(customer__in=customers).update(customer=None)


# -- Looking


def find(code: str) -> Coupon | None:
    """Find a code, however its letters are written."""
    if "\x00" in code or len(code) > LONGEST:
        return None
    found = Coupon.objects.filter(code_folded=sortable_values.fold_case(code))
    return found.select_related("pool", "campaign", "customer__merged_into").first()


def counted(pools: QuerySet[CouponPool]) -> QuerySet[CouponPool]:
    """Add to pools how many codes they have: ``total``, ``free``, ``given``, and ``redeemed`` as seen in orders."""
    return pools.annotate(
        total=Count("coupons"),
        free=Count("coupons", filter=Q(coupons__given_at=None, coupons__redeemed_at=None)),
        given=Count("coupons", filter=Q(coupons__given_at__isnull=False)),
        redeemed=Count("coupons", filter=Q(coupons__redeemed_at__isnull=False)),
    )


# -- Redemption


def note_redeemed(since: datetime | None, at: datetime) -> int:
    """Keep when codes were first seen in orders that count; return how many are new.

    Of the orders placed in ``(since, at]``; without ``since`` of all, and then codes whose only orders were cancelled
    or are pending are open again. Also codes that were given to nobody: what was used is not given any more. A draft
    redeems nothing, since anybody can name any code in one.
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
    noted = execution.execute(
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
    return noted
