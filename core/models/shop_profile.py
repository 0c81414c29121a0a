"""The shop as staff have described it. Written only by ``core.staff.shop_settings``; ``core.shop`` reads it."""

import re
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, URLValidator
from django.db import models

COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
CURRENCY: Final = re.compile(r"[A-Z]{3}")
HTTPS_ONLY: Final = "Enter an address that begins with https://."


class ShopProfile(models.Model):
    """One row, once staff have saved the settings of the shop. Then it counts, and not the environment."""

    SINGLE_KEY: Final = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLE_KEY, editable=False)
    name = models.CharField(max_length=100)
    url = models.URLField("front page", max_length=300, validators=[URLValidator(schemes=["http", "https"])])
    address = models.CharField("postal address", max_length=300, blank=True, default="")
    currency = models.CharField(max_length=3, validators=[RegexValidator(CURRENCY)])
    time_zone = models.CharField(max_length=63)
    logo = models.URLField(
        max_length=500,
        blank=True,
        default="",
        validators=[URLValidator(schemes=["https"], message=HTTPS_ONLY)],
    )
    colour = models.CharField(max_length=7, validators=[RegexValidator(COLOUR)])
    sender_name = models.CharField(max_length=100, blank=True, default="")
    sender_address = models.EmailField("sender address")

    class Meta:
        verbose_name = verbose_name_plural = "shop settings"
        default_permissions = ("view", "change")
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="only_one_shop")]

    def __str__(self) -> str:
        return self.name or "The shop"

    def clean(self) -> None:
        """Refuse what would add headers to e-mails, hide the host of a URL, or is no time zone."""
        errors = {
            name: "Use one line of plain text."
            for name in ("name", "address", "sender_name")
            if not getattr(self, name).isprintable()
        }
        for name in ("url", "logo"):
            if _has_login(getattr(self, name)):
                errors[name] = "Leave out the user name and the password."
        if self.time_zone not in available_timezones():
            errors["time_zone"] = f"{self.time_zone} is not a time zone such as Europe/Rome."
        if errors:
            raise ValidationError(errors)


def _has_login(url: str) -> bool:
    try:
        return "@" in urlsplit(url).netloc
    except ValueError:  # no URL at all, which the field says
        return False
