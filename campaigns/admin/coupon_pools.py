"""The pages of coupon pools: the list, adding codes from a file, by hand or at random, and the download."""

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

from campaigns.coupons import coupon_pool, pool_codes
from campaigns.models import Coupon, CouponPool
from core.admin import audit_log
from core.admin.capped_lists import CappedListAdmin
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions
from core.templatetags.display import moment, number
from core.values.csv_injection import csv_text

VIEW_POOL: Final = "campaigns.view_couponpool"
CHANGE_POOL: Final = "campaigns.change_couponpool"
DELETE_POOL: Final = "campaigns.delete_couponpool"
VIEW_COUPON: Final = "campaigns.view_coupon"

MAX_FILE_BYTES: Final = 20_000_000
EXPORT_BATCH_SIZE: Final = 10_000


class ImportCodesForm(forms.Form):
    """Codes that the shop's own system has created, as a file or typed in."""

    file = forms.FileField(
        label="CSV file",
        required=False,
        help_text="One code per line, or a column named code.",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt,text/csv,text/plain"}),
    )
    codes = forms.CharField(
        label="Or type the codes",
        required=False,
        help_text="One per line, or separated by commas.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        file: UploadedFile | None = given.get("file")
        codes: list[str] = re.split(r"[\s,;]+", given.get("codes", "").strip())
        if file:
            codes = self._codes_in_file(file)
        if not any(codes):
            raise forms.ValidationError("Choose a file, or type codes into the field below it.")
        given["codes"] = codes
        return given

    def _codes_in_file(self, file: UploadedFile) -> list[str]:
        if (file.size or 0) > MAX_FILE_BYTES:
            raise forms.ValidationError(
                f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB. Split it into smaller files."
            )
        try:
            return list(pool_codes.read_code_file(file.read().decode("utf-8-sig")))
        except UnicodeDecodeError:
            raise forms.ValidationError("The file is not text in UTF-8. Save it as “CSV UTF-8”.") from None
        except pool_codes.InvalidCodeFile as error:
            raise forms.ValidationError(str(error)) from None


class GenerateCodesForm(forms.Form):
    count = forms.IntegerField(
        label="Number of codes",
        initial=1_000,
        min_value=1,
        max_value=pool_codes.MAX_GENERATED_CODES,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    length = forms.IntegerField(
        label="Characters per code",
        initial=pool_codes.MIN_GENERATED_LENGTH,
        min_value=pool_codes.MIN_GENERATED_LENGTH,
        max_value=pool_codes.MAX_GENERATED_LENGTH,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    code_prefix = forms.CharField(
        label="Prefix",
        required=False,
        max_length=20,
        help_text="The start of every code, such as HELLO-. It may be empty.",
        widget=UnfoldAdminTextInputWidget,
    )


@admin.register(CouponPool)
class CouponPoolAdmin(CappedListAdmin):
    list_display = ("name", "description", "last_day", "codes_", "free_", "given_", "redeemed_", "created")
    list_before_template = "campaigns/admin/no_pools.html"
    change_form_outer_before_template = "campaigns/admin/pool.html"
    fields = ("name", "description", "last_day")

    def get_urls(self) -> list[URLPattern]:
        """Put our pages before the admin's, whose patterns match any text as a key."""
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
        """Add how many codes unconfirmed visitors got in the last hour, and how many messages wait because of that."""
        context = {"unconfirmed_limit": settings.COUPONS_UNCONFIRMED_AN_HOUR}
        if object_id.isdigit():
            context["unconfirmed"] = coupon_pool.unconfirmed_count(int(object_id), datetime.now(UTC))
            context["held_back"] = coupon_pool.waiting_count(int(object_id))
        return super().change_view(request, object_id, form_url, (extra_context or {}) | context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CouponPool]:
        return coupon_pool.with_counts(super().get_queryset(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The admin's own deletion would read every code. The page has a button instead."""
        return False

    def save_model(self, request: HttpRequest, obj: CouponPool, form: Any, change: bool) -> None:
        coupon_pool.save_pool(obj)

    def response_add(self, request: HttpRequest, obj: CouponPool, post_url_continue: str | None = None):
        messages.success(request, f"{obj.name} was created. Now add codes to it.")
        return redirect("admin:campaigns_couponpool_fill", obj.pk)

    # -- The list

    @display(description="Codes")
    def codes_(self, pool: Any) -> str:
        return number(pool.total)

    @display(description="Free")
    def free_(self, pool: Any) -> str:
        return number(pool.free)

    @display(description="Given")
    def given_(self, pool: Any) -> str:
        return number(pool.given)

    @display(description="Redeemed")
    def redeemed_(self, pool: Any) -> str:
        return number(pool.redeemed)

    @display(description="Created")
    def created(self, pool: CouponPool) -> str:
        return moment(pool.created_at)

    # -- The pages

    @require_permissions(VIEW_POOL, CHANGE_POOL)
    def fill_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        pool = get_object_or_404(CouponPool, pk=pk)
        how = request.POST.get("how")
        import_form = ImportCodesForm(request.POST, request.FILES) if how == "import" else ImportCodesForm()
        generate_form = GenerateCodesForm(request.POST) if how == "generate" else GenerateCodesForm()
        if (how == "import" and _import_codes(request, pool, import_form)) or (
            how == "generate" and _generate_codes(request, pool, generate_form)
        ):
            return redirect("admin:campaigns_couponpool_change", pool.pk)
        context = {**self.admin_site.each_context(request), "opts": self.opts}
        context |= {
            "title": f"Add codes to {pool.name}",
            "original": pool,
            "import": import_form,
            "generate": generate_form,
        }
        return TemplateResponse(request, "campaigns/admin/pool_fill.html", context)

    @require_permissions(VIEW_POOL, CHANGE_POOL, methods=WRITE_METHODS)
    def empty_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Delete the codes that no customer has."""
        pool = get_object_or_404(CouponPool, pk=pk)
        removed = coupon_pool.delete_free_codes(pool)
        audit_log.log_changes(request, [pool], f"Removed {removed:,} free codes.")
        messages.success(request, f"{removed:,} free codes were removed. Codes that customers have stay.")
        return redirect("admin:campaigns_couponpool_change", pool.pk)

    @require_permissions(VIEW_POOL, DELETE_POOL, methods=WRITE_METHODS)
    def discard_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        pool = get_object_or_404(CouponPool, pk=pk)
        name, key = pool.name, pool.pk
        try:
            coupon_pool.delete_pool(pool)
        except coupon_pool.PoolInUse as reason:
            messages.error(request, str(reason))
            return redirect("admin:campaigns_couponpool_change", key)
        audit_log.log_deletions(request, [CouponPool(pk=key, name=name)], "Deleted.")
        messages.success(request, f"{name} was deleted.")
        return redirect("admin:campaigns_couponpool_changelist")

    @require_permissions(VIEW_POOL, VIEW_COUPON, methods=READ_METHODS)
    def codes_view(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Download the codes as CSV, for the shop's checkout."""
        pool = get_object_or_404(CouponPool, pk=pk)
        return StreamingHttpResponse(
            _csv_batches(pool),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="coupons-{pool.pk}.csv"'},
        )


def _import_codes(request: HttpRequest, pool: CouponPool, form: ImportCodesForm) -> bool:
    if not form.is_valid():
        return False
    result = pool_codes.add_codes(pool, form.cleaned_data["codes"])
    summary = f"{result.added:,} {_codes_were(result.added)} added"
    if result.known:
        summary += f", {result.known:,} existed already"
    if result.refused:
        summary += f", {result.refused:,} {'is' if result.refused == 1 else 'are'} invalid"
    audit_log.log_changes(request, [pool], f"{summary}.")
    messages.success(request, f"{summary}.")
    for reason in result.reasons:
        messages.warning(request, reason)
    return True


def _generate_codes(request: HttpRequest, pool: CouponPool, form: GenerateCodesForm) -> bool:
    if not form.is_valid():
        return False
    values = form.cleaned_data
    try:
        generated = pool_codes.generate_codes(
            pool, values["count"], values["length"], SystemRandom(), values["code_prefix"]
        )
    except ValueError as error:
        form.add_error("code_prefix", str(error))
        return False
    audit_log.log_changes(request, [pool], f"{generated:,} {_codes_were(generated)} created.")
    messages.success(
        request, f"{generated:,} {_codes_were(generated)} created. Download them and add them to your shop."
    )
    return True


def _codes_were(count: int) -> str:
    return "code was" if count == 1 else "codes were"


def _csv_batches(pool: CouponPool) -> Iterator[str]:
    columns = ("code", "given_at", "redeemed_at")
    yield csv_text([columns])
    after = 0
    coupons = Coupon.objects.filter(pool=pool).order_by("pk")
    while batch := list(coupons.filter(pk__gt=after).values_list("pk", *columns)[:EXPORT_BATCH_SIZE]):
        yield csv_text(
            (code, *(moment.isoformat() if moment else "" for moment in moments))
            for _, code, *moments in batch
        )
        after = batch[-1][0]
