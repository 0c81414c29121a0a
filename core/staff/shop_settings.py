"""Saving the settings of the shop, with what depends on them. The only writer of ``ShopProfile``."""

from email.utils import parseaddr
from typing import Final

from django.conf import settings
from django.db import transaction

from core.models import ShopProfile
from core.shop import default_shop, forget_shop, shop

from . import schedules

UNNAMED: Final = "The shop"
NO_SENDER: Final = "shop@localhost"


def find_or_build_profile() -> ShopProfile:
    """Return the stored settings, or unsaved ones with the environment's values.

    What nobody has chosen stays empty: the name, front page and sender that an installation has from the start.
    """
    if stored := ShopProfile.objects.first():
        return stored
    now = shop()
    sender_name, sender_address = parseaddr(now.sender)
    return ShopProfile(
        name="" if now.name == UNNAMED else now.name,
        url="" if now.url.rstrip("/") == settings.PUBLIC_URL else now.url,
        address=now.address,
        currency=now.currency,
        time_zone=now.zone.key,
        logo=now.logo,
        colour=now.colour,
        sender_name=sender_name,
        sender_address="" if sender_address == NO_SENDER else sender_address,
    )


def save_profile(profile: ShopProfile) -> None:
    """Validate and save the settings, and move the schedules to the shop's time zone. Raises ValidationError.

    The next refresh evaluates all segments in full if the time zone differs from that of their latest one.
    """
    profile.full_clean(validate_unique=False)
    with transaction.atomic():
        # Not from the cache, which other requests share for a second.
        stored = ShopProfile.objects.select_for_update().first()
        former = stored.time_zone if stored else default_shop().zone.key
        profile._state.adding = stored is None
        profile.save(force_update=stored is not None)
        if profile.time_zone != former:
            schedules.change_time_zone(former, profile.time_zone)
    forget_shop()
