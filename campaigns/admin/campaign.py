"""The list of campaigns, and the page and form of one. ``campaigns.lifecycle`` writes them."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.decorators import display

from campaigns import lifecycle
from campaigns.models import Campaign, Delivery
from core.admin import audit_log
from core.admin.capped_lists import CappedChangeList, CappedListAdmin
from core.admin.permissions import READ_METHODS, require_permissions, staff_user
from core.db import time_limits
from core.shop import shop
from core.templatetags.display import amount, moment, number

from . import (
    access,
    actions,
    audiences,
    campaign_page,
    deliveries,
    early_start,
    forecast,
    notices,
    page_context,
    reach,
    start_from_segment,
    texts,
)
from .forms import CampaignForm, StepFormSet
from .home import first_day, panels
from .message_editor import checks_page, drafts, previews


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Campaign.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> QuerySet[Campaign]:
        return queryset.filter(state=self.value()) if self.value() in Campaign.State.values else queryset


class CampaignChangeList(CappedChangeList):
    """The list, with the revenue of the campaigns on the page."""

    def get_results(self, request: HttpRequest) -> None:
        """Add the revenue, which is left out if it takes too long to compute."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        try:
            revenue = campaign_page.revenue_by_campaign(self.result_list, datetime.now(UTC))
        except time_limits.StatementTimeout:
            revenue = {}
        for campaign in self.result_list:
            campaign.revenue = revenue.get(campaign.pk)


@admin.register(Campaign)
class CampaignAdmin(CappedListAdmin):
    list_display = ("titled", "segment_", "state_", "sent", "clicked", "revenue", "started")
    list_filter = (StateFilter,)
    list_select_related = ("segment",)
    list_per_page = 50
    list_before_template = "campaigns/admin/campaigns_before.html"
    search_fields = ("name", "segment__name")
    search_help_text = "Part of a campaign's or segment's name"

    def get_urls(self) -> list[URLPattern]:
        """Put our pages before the admin's, whose patterns match any text as a key."""
        return [
            path(address, self.admin_site.admin_view(partial(view, self)), name=f"campaigns_campaign_{name}")
            for address, view, name in (
                ("segment/<int:pk>/", start_from_segment.segment_campaigns_page, "segment"),
                ("segment/<int:pk>/reach/", reach.reach_view, "reach"),
                ("segment/<int:pk>/audience/", audiences.audience_page, "audience"),
                ("segment/<int:pk>/audience/download/", audiences.download_audience, "audience_download"),
                ("first-day/dismiss/", first_day.dismiss_view, "first_day_dismiss"),
                ("home/sales/", panels.sales_panel, "home_sales"),
                ("home/stages/", panels.stages_panel, "home_stages"),
                ("home/reach/", panels.reach_panel, "home_reach"),
                ("home/suggestions/", panels.suggestions_panel, "home_suggestions"),
                ("sending/resume/", notices.resume_sending, "resume_sending"),
                ("<int:pk>/edit/", edit_page, "edit"),
                ("<int:pk>/preview/", previews.preview_page, "preview"),
                ("<int:pk>/preview/send/", previews.send_test, "send_test"),
                ("<int:pk>/checks/", checks_page.checks_page, "checks"),
                ("<int:pk>/message/preview/", drafts.preview_draft, "message_preview"),
                ("<int:pk>/message/links/", drafts.check_links, "message_links"),
                ("<int:pk>/message/test/", drafts.send_draft, "message_test"),
                ("<int:pk>/message/recipients/", drafts.find_recipients, "message_recipients"),
                ("<int:pk>/forecast/", forecast.forecast_page, "forecast"),
                ("<int:pk>/deliveries/", deliveries.deliveries_page, "deliveries"),
                ("<int:pk>/action/", actions.run_action, "action"),
                ("<int:pk>/start/", actions.start_page, "start"),
                ("<int:pk>/early-start/", early_start.early_start_view, "early_start"),
                ("<int:pk>/stop/", actions.stop_page, "stop"),
                ("<int:pk>/copy/", actions.copy_campaign, "copy"),
                ("<int:pk>/discard/", actions.discard_page, "discard"),
            )
        ] + super().get_urls()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Campaigns that have started are kept. Drafts are discarded on their own page."""
        return False

    # -- The list

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(
            request, {**(extra_context or {}), "notices": notices.sending_notices(request)}
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CampaignChangeList]:
        return CampaignChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Campaign]:
        """Count sent and clicked messages in sub-selects, which run for the rows of one page only."""
        deliveries = Delivery.objects.filter(campaign=OuterRef("pk")).order_by().values("campaign")
        return (
            super()
            .get_queryset(request)
            .annotate(
                sent_count=_count_subquery(deliveries.filter(state=Delivery.State.SENT)),
                clicked_count=_count_subquery(deliveries.filter(clicked_at__isnull=False)),
            )
        )

    @display(description="Campaign")
    def titled(self, campaign: Campaign) -> str:
        return campaign.name

    @display(description="Segment")
    def segment_(self, campaign: Campaign) -> str:
        return campaign.segment.name

    @display(description="State", label=texts.STATE_LABELS)
    def state_(self, campaign: Campaign) -> str:
        return campaign.state

    @display(description="Sent")
    def sent(self, campaign: Any) -> str:
        return number(campaign.sent_count)

    @display(description="Clicked")
    def clicked(self, campaign: Any) -> str:
        return number(campaign.clicked_count)

    @display(description="Revenue")
    def revenue(self, campaign: Any) -> str:
        return amount(campaign.revenue, shop().currency)

    @display(description="Started")
    def started(self, campaign: Campaign) -> str:
        return moment(campaign.started_at)

    # -- The pages of one

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponseBase:
        """Ask for the segment first, because tactics depend on it."""
        return start_from_segment.choose_segment_page(self, request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        """Show the campaign. Its form is another page."""
        campaign = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, campaign):
            raise PermissionDenied
        if campaign is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if request.method not in READ_METHODS:
            return redirect("admin:campaigns_campaign_edit", campaign.pk)
        return campaign_page.overview_page(self, request, campaign)


def _count_subquery(deliveries: QuerySet[Any]) -> Coalesce:
    count = deliveries.annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(count, output_field=IntegerField()), 0)


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN)
def edit_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    is_post = request.method == "POST"
    steps = list(campaign.steps.all())
    subject = early_start.segment_that_changes(campaign)
    form = CampaignForm(request.POST if is_post else None, instance=campaign)
    formset = StepFormSet(request.POST if is_post else None, prefix="steps", steps=steps)
    if is_post and form.is_valid() and formset.is_valid():
        try:
            with transaction.atomic():
                if "before" in form.fields:
                    before = form.cleaned_data["before"]
                    early_start.move_start(request, form.instance, before, subject)
                lifecycle.save_campaign(form.instance, formset.steps(), staff_user(request))
        except lifecycle.CampaignError as reason:
            form.add_error(None, str(reason))
        else:
            audit_log.log_changes(
                request, [campaign], f"Now: {texts.campaign_sentence(campaign, formset.steps())}"
            )
            messages.success(request, f"{campaign.name} is saved.")
            after = "preview" if "preview" in request.POST else "change"
            return redirect(f"admin:campaigns_campaign_{after}", pk)
    campaign = Campaign.objects.select_related("segment").get(pk=pk) if is_post else campaign
    context = page_context.campaign_page_context(model_admin, request, campaign, "edit")
    context |= {"form": form, "formset": formset, "knowledge": drafts.editor_knowledge(campaign)}
    return TemplateResponse(request, "campaigns/admin/edit.html", context)
