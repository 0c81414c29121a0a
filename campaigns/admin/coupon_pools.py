"""Pools of coupon codes: listed with what is left, filled by a file, by hand or by chance, and downloaded."""

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from random import SystemRandom
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from campaigns.coupons import coupon_pool
from campaigns.models import Coupon, CouponPool
from core.admin import audit_log
from core.admin.access import READ, WRITE, needs
from core.admin.lists import CappedListAdmin
from core.templatetags.display import moment, number
from core.values.csv_injection import safe_cell

SEE: Final = "campaigns.view_couponpool"
CHANGE: Final = "campaigns.change_couponpool"
DELETE: Final = "campaigns.delete_couponpool"
SEE_CODES: Final = "campaigns.view_coupon"

MAX_FILE_BYTES: Final = 20_000_000
EXPORT_BATCH_SIZE: Final = 10_000


class ImportCodesForm(forms.Form):
    """Codes that the shop has made, as a file or typed in."""

    file = forms.FileField(
        label="CSV file",
        required=False,
        help_text="One code a line, or a column called code.",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt,text/csv,text/plain"}),
    )
    codes = forms.CharField(
        label="Or the codes themselves",
        required=False,
        help_text="On lines of their own, or with commas.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
    )

    def clean(self) -> dict[str, Any]:
        """Read the codes of whichever was given."""
        given = super().clean() or {}
        file: UploadedFile | None = given.get("file")
        found: list[str] = re.split(r"[\s,;]+", given.get("codes", "").strip())
        if file:
            found = self._in_file(file)
        if not any(found):
            raise forms.ValidationError("Choose a file, or write codes into the field below it.")
        given["found"] = found
        return given

    def _in_file(self, file: UploadedFile) -> list[str]:
        if (file.size or 0) > MAX_FILE_BYTES:
            raise forms.ValidationError(
                f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB: split it."
            )
        try:
            return list(coupon_pool.in_file(file.read().decode("utf-8-sig")))
        except UnicodeDecodeError:
            raise forms.ValidationError("The file is no text in UTF-8: save it as “CSV UTF-8”.") from None
        except coupon_pool.BadFile as error:
            raise forms.ValidationError(str(error)) from None


class GenerateCodesForm(forms.Form):
    """How many codes to make, and how they look."""

    count = forms.IntegerField(
        label="How many",
        initial=1_000,
        min_value=1,
        max_value=coupon_pool.MOST_MADE,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    length = forms.IntegerField(
        label="Characters each",
        initial=coupon_pool.SHORTEST_MADE,
        min_value=coupon_pool.SHORTEST_MADE,
        max_value=coupon_pool.LONGEST_MADE,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    beginning = forms.CharField(
        label="Beginning",
        required=False,
        max_length=20,
        help_text="Such as HELLO-, the same for all; may be empty.",
        widget=UnfoldAdminTextInputWidget,
    )


@admin.register(CouponPool)
class CouponPoolAdmin(CappedListAdmin):
    """The list of pools and the page of one."""

    list_display = ("name", "description", "last_day", "codes_", "free_", "given_", "redeemed_", "created")
    list_before_template = "campaigns/admin/no_pools.html"
    change_form_outer_before_template = "campaigns/admin/pool.html"
    fields = ("name", "description", "last_day")

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of our own before the admin's, which take any text for a key."""
        return [
            path(f"<int:pk>/{address}", self.admin_site.admin_view(view), name=f"campaigns_couponpool_{name}")
            for address, view, name in (
                ("fill/", self.fill_view, "fill"),
                ("empty/", self.empty_view, "empty"),
                ("discard/", self.discard_view, "discard"),
                ("codes.csv", self.codes_view, "codes"),
            )
        ] + super().get_urls()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Add how many unconfirmed visitors had a code lately, and whom that holds back."""
        told = {"most_unconfirmed": settings.COUPONS_UNCONFIRMED_AN_HOUR}
        if object_id.isdigit():
            told["unconfirmed"] = coupon_pool.unconfirmed_in_the_hour(int(object_id), datetime.now(UTC))
            told["held_back"] = coupon_pool.held_back(int(object_id))
        return super().change_view(request, object_id, form_url, (extra_context or {}) | told)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CouponPool]:
        """Add how many codes there are."""
        return coupon_pool.counted(super().get_queryset(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The admin's own way would read every code; ours is the button on the page."""
        return False

    def save_model(self, request: HttpRequest, obj: CouponPool, form: Any, change: bool) -> None:
        """Save it."""
        coupon_pool.save(obj)

    def response_add(self, request: HttpRequest, obj: CouponPool, post_url_continue: str | None = None):
        """Go on to filling it."""
        messages.success(request, f"{obj.name} is there. Now fill it with codes.")
        return redirect("admin:campaigns_couponpool_fill", obj.pk)

    # -- The list

    @display(description="Codes")
    def codes_(self, pool: Any) -> str:
        """Show how many there are."""
        return number(pool.total)

    @display(description="Free")
    def free_(self, pool: Any) -> str:
        """Show how many can still be given."""
        return number(pool.free)

    @display(description="Given")
    def given_(self, pool: Any) -> str:
        """Show how many customers have."""
        return number(pool.given)

    @display(description="Redeemed")
    def redeemed_(self, pool: Any) -> str:
        """Show how many were seen in orders."""
        return number(pool.redeemed)

    @display(description="Created")
    def created(self, pool: CouponPool) -> str:
        """Show when it was made."""
        return moment(pool.created_at)

    # -- The pages

    @needs(SEE, CHANGE)
    def fill_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Add codes."""
        pool = get_object_or_404(CouponPool, pk=pk)
        how = request.POST.get("how")
        upload = ImportCodesForm(request.POST, request.FILES) if how == "import" else ImportCodesForm()
        made = GenerateCodesForm(request.POST) if how == "generate" else GenerateCodesForm()
        if (how == "import" and _import_codes(request, pool, upload)) or (
            how == "generate" and _generate_codes(request, pool, made)
        ):
            return redirect("admin:campaigns_couponpool_change", pool.pk)
        context = {**self.admin_site.each_context(request), "opts": self.opts}
        context |= {
            "title": f"Add codes to {pool.name}",
            "original": pool,
            "import": upload,
            "generate": made,
        }
        return TemplateResponse(request, "campaigns/admin/pool_fill.html", context)

    @needs(SEE, CHANGE, methods=WRITE)
    def empty_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Delete the codes that nobody has."""
        pool = get_object_or_404(CouponPool, pk=pk)
        removed = coupon_pool.remove_free(pool)
        audit_log.note_changed(request, [pool], f"Removed {removed:,} free codes.")
        messages.success(request, f"{removed:,} codes were removed; those that were given stay.")
        return redirect("admin:campaigns_couponpool_change", pool.pk)

    @needs(SEE, DELETE, methods=WRITE)
    def discard_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Delete the pool."""
        pool = get_object_or_404(CouponPool, pk=pk)
        name, key = pool.name, pool.pk
        try:
            coupon_pool.delete(pool)
        except coupon_pool.InUse as reason:
            messages.error(request, str(reason))
            return redirect("admin:campaigns_couponpool_change", key)
        audit_log.note_deleted(request, [CouponPool(pk=key, name=name)], "Deleted.")
        messages.success(request, f"{name} was deleted.")
        return redirect("admin:campaigns_couponpool_changelist")

    @needs(SEE, SEE_CODES, methods=READ)
    def codes_view(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Download the codes, for the shop to accept them."""
        pool = get_object_or_404(CouponPool, pk=pk)
        sheet = csv.writer(_Echo())
        return StreamingHttpResponse(
            (sheet.writerow(row) for row in _csv_rows(pool)),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="coupons-{pool.pk}.csv"'},
        )


def _import_codes(request: HttpRequest, pool: CouponPool, form: ImportCodesForm) -> bool:
    if not form.is_valid():
        return False
    filled = coupon_pool.fill(pool, form.cleaned_data["found"])
    told = f"{filled.added:,} {_codes_were(filled.added)} added"
    if filled.known:
        told += f", {filled.known:,} {'was' if filled.known == 1 else 'were'} there already"
    if filled.refused:
        told += f", {filled.refused:,} will not do"
    audit_log.note_changed(request, [pool], f"{told}.")
    messages.success(request, f"{told}.")
    for reason in filled.reasons:
        messages.warning(request, reason)
    return True


def _generate_codes(request: HttpRequest, pool: CouponPool, form: GenerateCodesForm) -> bool:
    if not form.is_valid():
        return False
    asked = form.cleaned_data
    try:
        made = coupon_pool.generate(pool, asked["count"], asked["length"], SystemRandom(), asked["beginning"])
    except ValueError as error:
        form.add_error("beginning", str(error))
        return False
    audit_log.note_changed(request, [pool], f"{made:,} {_codes_were(made)} made.")
    messages.success(
        request, f"{made:,} {_codes_were(made)} made. Download them, so that the shop accepts them."
    )
    return True


def _codes_were(count: int) -> str:
    return "code was" if count == 1 else "codes were"


def _csv_rows(pool: CouponPool) -> Iterator[tuple[str, ...]]:
    yield "code", "given_at", "redeemed_at"
    after = 0
    columns = ("pk", "code", "given_at", "redeemed_at")
    rest = Coupon.objects.filter(pool=pool).order_by("pk")
    while share := list(rest.filter(pk__gt=after).values_list(*columns)[:EXPORT_BATCH_SIZE]):
        for _, code, *moments in share:
            yield safe_cell(code), *(one.isoformat() if one else "" for one in moments)
        after = share[-1][0]


class _Echo:
    """A file that hands every line back to whoever wrote it."""

    def write(self, line: str) -> str:
        return line
