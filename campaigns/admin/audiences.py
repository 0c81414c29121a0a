"""The page *Ads* of a segment: audience files for ad platforms, and the log of downloads."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from campaigns.audiences import exports
from campaigns.models import AudienceExport
from core.admin import audit_log
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions, staff_user
from customers.admin import contact_data
from segments.admin.access import VIEW_CUSTOMER, VIEW_SEGMENT
from segments.admin.page_context import admin_context
from segments.models import Segment

from . import access, notices

MAX_EXPORTS_SHOWN = 50


@require_permissions(access.VIEW_AUDIENCE_EXPORT, VIEW_SEGMENT, methods=READ_METHODS)
def audience_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    segment = get_object_or_404(Segment, pk=pk)
    exports = AudienceExport.objects.filter(segment=segment)
    context = (
        admin_context(model_admin, request, "Audience for ads", segment)
        | {
            "tab": "audience",
            "notices": notices.sending_notices(request),
            "opts": Segment._meta,  # the page belongs to the segment
            "platforms": [
                (value, label, exports.filter(platform=value).first())
                for value, label in AudienceExport.Platform.choices
            ],
            "exports": exports[:MAX_EXPORTS_SHOWN],
            "may_export": request.user.has_perms(
                [access.ADD_AUDIENCE_EXPORT, VIEW_CUSTOMER, contact_data.VIEW_CONTACT_DATA]
            ),
        }
    )
    return TemplateResponse(request, "campaigns/admin/audience.html", context)


@require_permissions(
    access.VIEW_AUDIENCE_EXPORT,
    access.ADD_AUDIENCE_EXPORT,
    VIEW_SEGMENT,
    VIEW_CUSTOMER,
    contact_data.VIEW_CONTACT_DATA,
    methods=WRITE_METHODS,
)  # a POST, because each download is recorded
def download_audience(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponseBase:
    """Download the file for a platform: all members, or the changes since the last file."""
    segment = get_object_or_404(Segment, pk=pk)
    platform = request.POST.get("platform", "")
    if platform not in AudienceExport.Platform.values:
        messages.error(request, "Choose a platform.")
        return redirect("admin:campaigns_campaign_audience", pk)
    since, kind = None, "all"
    if "changes" in request.POST:
        last = AudienceExport.objects.filter(segment=segment, platform=platform).first()
        if last is None:
            messages.error(
                request, "No file was downloaded for this platform yet. Download all members first."
            )
            return redirect("admin:campaigns_campaign_audience", pk)
        since, kind = last.until, "changes"
    by = staff_user(request).get_username()
    try:
        file = exports.export_audience(segment, platform, datetime.now(UTC), since=since, by=by)
    except exports.UnknownChange as reason:
        messages.error(request, f"{str(reason).capitalize()}. Download all members instead.")
        return redirect("admin:campaigns_campaign_audience", pk)
    label = AudienceExport.Platform(platform).label
    audit_log.log_changes(request, [segment], f"Downloaded the audience for {label}: {file.rows:,} rows.")
    return StreamingHttpResponse(
        file.batches,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{segment.slug}-{platform}-{kind}.csv"'},
    )
