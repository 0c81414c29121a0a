"""The settings of the shop: one record, so its list is its form."""

from functools import cache, partial
from typing import Any, Final
from zoneinfo import available_timezones

from babel.core import get_global
from babel.numbers import get_currency_name, get_territory_currencies
from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminColorInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminURLInputWidget,
    UnfoldBooleanWidget,
)

from core.admin import mail_check
from core.admin.declared_lookups import DeclaredLookupsAdmin
from core.models import ShopProfile
from core.shop import shop
from core.staff import shop_settings
from customers.models import EventProduct, Order

AREAS: Final = (
    "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"
)  # fmt: skip
"""Where time zones are. The other names of the database of time zones are old ones of the same zones."""


CHOOSE_ZONE_OF_BROWSER: Final = (
    "const here = Intl.DateTimeFormat().resolvedOptions().timeZone;"
    " if ([...$el.options].some((option) => option.value === here)) $el.value = here"
)


class ShopProfileForm(forms.ModelForm):
    """The settings. A change of the currency of stored amounts must be confirmed."""

    url = forms.URLField(
        label="Front page",
        max_length=300,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text="Messages link to it.",
    )
    logo = forms.URLField(
        label="Logo",
        max_length=500,
        required=False,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text="The address of a picture, which stands above e-mails. Without it, the name of the shop does.",
    )
    currency = forms.ChoiceField(
        label="Currency",
        widget=UnfoldAdminSelectWidget,
        help_text="Of all amounts. Orders in another currency are stored, but not converted.",
    )
    time_zone = forms.ChoiceField(
        label="Time zone",
        widget=UnfoldAdminSelectWidget,
        help_text="It decides when a day begins: in rules, quiet hours, results, schedules and files without a time"
        " zone. After a change, all segments are refreshed in full.",
    )
    keep_amounts = forms.BooleanField(
        label="Change the currency, and keep the stored amounts as they are",
        required=False,
        widget=forms.HiddenInput,
    )

    class Meta:
        model = ShopProfile
        fields = (
            "name", "url", "address", "currency", "keep_amounts", "time_zone", "sender_name", "sender_address",
            "logo", "colour",
        )  # fmt: skip
        widgets = {"colour": UnfoldAdminColorInputWidget}
        help_texts = {
            "name": "Customers read it in messages.",
            "address": "It stands below e-mails. Many countries require it.",
            "sender_name": "For example the name of the shop.",
            "sender_address": "E-mails come from this address. Your mail server must be allowed to send from it.",
            "colour": "Of buttons and links in e-mails.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["currency"].choices = _with_current(_currencies(), self.instance.currency)
        fields["time_zone"].choices = _with_current(_time_zones(), self.instance.time_zone)
        if self.instance._state.adding and self.instance.time_zone == "UTC":
            fields["time_zone"].widget.attrs |= {"x-data": "", "x-init": CHOOSE_ZONE_OF_BROWSER}
        if self.data and self._must_confirm(self.data.get("currency")):
            fields["keep_amounts"].widget = UnfoldBooleanWidget()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self._must_confirm(cleaned.get("currency")) and not cleaned.get("keep_amounts"):
            self.add_error(
                "currency",
                f"There are amounts in {shop().currency}. They are not converted: 10.00 {shop().currency} become"
                f" 10.00 {cleaned['currency']}. Tick the box below if you want that.",
            )
        return cleaned

    def _must_confirm(self, currency: str | None) -> bool:
        """Return whether a new currency gives stored amounts another meaning."""
        return bool(currency) and currency != shop().currency and _has_amounts()


@admin.register(ShopProfile)
class ShopProfileAdmin(DeclaredLookupsAdmin):
    form = ShopProfileForm

    def get_urls(self) -> list[URLPattern]:
        """Put our pages before the admin's, whose patterns match any text as a key."""
        return [
            path(address, self.admin_site.admin_view(partial(view, self)), name=f"core_shopprofile_{name}")
            for address, view, name in (
                ("mail/", mail_check.mail_page, "mail"),
                ("mail/test/", mail_check.send_test_mail, "mail_test"),
            )
        ] + super().get_urls()

    def get_fieldsets(self, request: HttpRequest, obj: ShopProfile | None = None) -> Any:
        check = format_html(
            '<a class="link underline" href="{}">See the mail server, and send yourself a test</a>',
            reverse("admin:core_shopprofile_mail"),
        )
        emails = ("sender_name", "sender_address", "logo", "colour")
        return (
            ("The shop", {"fields": ("name", "url", "address")}),
            ("Money and time", {"fields": ("currency", "keep_amounts", "time_zone")}),
            ("E-mails", {"fields": emails, "description": check}),
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The settings exist from the start, with the environment's values."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ShopProfile | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the form. The one record is not filtered."""
        if request.GET:
            return redirect(request.path)
        return self.change_view(request, str(ShopProfile.SINGLE_KEY))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "show_save_and_continue": False}
        return super().change_view(request, object_id, form_url, context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> ShopProfile | None:
        return shop_settings.find_or_build_profile() if object_id == str(ShopProfile.SINGLE_KEY) else None

    def save_model(self, request: HttpRequest, obj: ShopProfile, form: Any, change: bool) -> None:
        """Save through the only writer, and say what follows from it."""
        former = shop()
        request.is_first_save = obj._state.adding  # type: ignore[attr-defined]
        shop_settings.save_profile(obj)
        if shop().zone != former.zone:
            messages.info(
                request,
                f"Days begin at midnight in {obj.time_zone} now. All segments are refreshed in full,"
                " which begins within a minute.",
            )

    def response_change(self, request: HttpRequest, obj: ShopProfile) -> HttpResponse:
        """Lead to the first steps when the settings are saved for the first time, and stay on the page afterwards."""
        messages.success(request, "The settings of the shop were saved.")
        if getattr(request, "is_first_save", False):
            return redirect("admin:index")
        return redirect("admin:core_shopprofile_changelist")


def _has_amounts() -> bool:
    return Order.objects.exists() or EventProduct.objects.exists()


def _with_current(choices: list[tuple[str, Any]], current: str) -> list[tuple[str, Any]]:
    """Return the choices, and the current value even if it is none of them."""
    values = {
        value for group in choices for value, _ in (group[1] if isinstance(group[1], list) else [group])
    }
    return choices if current in values else [(current, current), *choices]


@cache
def _currencies() -> list[tuple[str, Any]]:
    """Return the currencies that are legal tender somewhere today."""
    codes = {code for place in get_global("territory_currencies") for code in get_territory_currencies(place)}
    return [(code, f"{code}: {get_currency_name(code, locale='en')}") for code in sorted(codes)]


@cache
def _time_zones() -> list[tuple[str, Any]]:
    """Return the time zones by their area."""
    by_area: dict[str, list[tuple[str, str]]] = {area: [] for area in AREAS}
    for name in sorted(available_timezones()):
        area, _, place = name.partition("/")
        if area in by_area and place:
            by_area[area].append((name, place.replace("_", " ")))
    return [("UTC", "UTC"), *by_area.items()]
