"""The admin of webhooks: the list of endpoints, and the page of an endpoint."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from core.admin import audit_log
from core.admin.capped_lists import CappedListAdmin
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions
from core.templatetags.display import moment, number
from segments import wakeups
from segments.models import Attempt, Change, Endpoint, Message
from segments.webhooks import endpoints, outbox

CHANGE_ENDPOINT = "segments.change_endpoint"
STATE_LABELS = {"active": "success", "failing": "danger", "paused": "warning", "stopped": "danger"}


class EndpointForm(forms.ModelForm):
    """The fields of an endpoint that staff edit."""

    class Meta:
        model = Endpoint
        fields = ("name", "url", "every_segment", "segments", "without_summaries")
        widgets = {
            "url": UnfoldAdminTextInputWidget(attrs={"inputmode": "url", "autocomplete": "off"}),
            "segments": UnfoldAdminCheckboxSelectMultipleWidget,
        }

    def clean_url(self) -> str:
        """Reject an address that may not be called. An unchanged address is not checked again."""
        url: str = self.cleaned_data["url"]
        if url != self.instance.url:
            try:
                endpoints.check_url(url)
            except ValidationError as error:
                raise ValidationError(error.messages) from None
        return url

    def clean(self) -> dict[str, Any]:
        """Require a segment unless all are chosen."""
        cleaned = super().clean() or {}
        if not cleaned.get("every_segment") and not cleaned.get("segments"):
            self.add_error("segments", "Choose at least one segment, or check “All segments”.")
        return cleaned


@admin.register(Endpoint)
class EndpointAdmin(CappedListAdmin):
    """The list of endpoints and the page of one."""

    list_display = ("titled", "segments_text", "state_", "waiting", "since")
    list_before_template = "segments/admin/no_endpoints.html"
    change_form_outer_before_template = "segments/admin/endpoint.html"
    ordering = ("name", "pk")
    form = EndpointForm

    def get_urls(self) -> list[URLPattern]:
        """Put this app's pages before the admin's, whose URLs match any text as a key."""
        return [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(partial(view, self)),
                name=f"segments_endpoint_{name}",
            )
            for name, view in (
                ("test", test_view),
                ("rotate", rotate_secret_view),
                ("pause", pause_view),
                ("resume", resume_view),
                ("replay", replay_view),
            )
        ] + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        """Add the number of waiting messages. The sub-select runs only for the rows of the page."""
        waiting = Message.objects.waiting().filter(endpoint=OuterRef("pk")).order_by().values("endpoint")
        count = Subquery(waiting.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
        return (
            super()
            .get_queryset(request)
            .annotate(waiting_count=Coalesce(count, 0), segment_count=Count("segments"))
        )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Show the segments without the button that adds another one."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "segments":
            field.widget.can_add_related = False
        return field

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        """Save through ``segments.webhooks.endpoints``."""
        chosen = form.cleaned_data["segments"]
        if change:
            endpoints.edit_endpoint(obj, chosen)
        else:
            endpoints.create_endpoint(obj, chosen, datetime.now(UTC))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: ``save_model`` has saved the segments."""

    def response_add(self, request: HttpRequest, obj: Endpoint, post_url_continue: str | None = None):
        """Redirect to the page that shows the secret, whichever button was pressed."""
        messages.success(request, f"{obj.name} gets all changes from now on.")
        return redirect("admin:segments_endpoint_change", obj.pk)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return only the endpoints: they may have a million messages."""
        missing = set() if self.has_delete_permission(request) else {self.opts.verbose_name}
        return [str(endpoint) for endpoint in objs], {"webhooks": len(objs)}, missing, []

    def delete_model(self, request: HttpRequest, obj: Endpoint) -> None:
        """Delete through the outbox."""
        outbox.delete_endpoint(obj, datetime.now(UTC))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            self.delete_model(request, endpoint)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        """Add the state, and the secret for staff who may change webhooks."""
        endpoint = self.get_object(request, object_id)
        context: dict[str, Any] = {"endpoint": endpoint}
        if endpoint is not None:
            context |= {
                "label": STATE_LABELS[endpoint.state],
                "waiting": endpoint.messages.waiting().count(),
                "latest": Attempt.objects.filter(message__endpoint=endpoint).exclude(problem="").first()
                if endpoint.failures
                else None,
                "secrets": endpoints.signing_secrets(endpoint, datetime.now(UTC)),
                "may_manage": request.user.has_perm(CHANGE_ENDPOINT),
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    @display(description="Webhook")
    def titled(self, endpoint: Endpoint) -> str:
        return format_html(
            '<span class="stacked"><span>{}</span><small>{}</small></span>', endpoint.name, endpoint.url
        )

    @display(description="Segments")
    def segments_text(self, endpoint: Any) -> str:
        if endpoint.every_segment:
            return "all segments"
        return f"{number(endpoint.segment_count)} segment{'' if endpoint.segment_count == 1 else 's'}"

    @display(description="State", label=STATE_LABELS)
    def state_(self, endpoint: Endpoint) -> str:
        return endpoint.state

    @display(description="Waiting")
    def waiting(self, endpoint: Any) -> str:
        return number(endpoint.waiting_count)

    @display(description="Stopped or failing since")
    def since(self, endpoint: Endpoint) -> str:
        """Show since when no message is delivered."""
        return moment(endpoint.stopped_at or (endpoint.failing_since if endpoint.is_failing else None))


# -- Buttons


@require_permissions(CHANGE_ENDPOINT, methods=WRITE_METHODS)
def test_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Send a test message, and redirect to the page that will show the response."""
    endpoint = get_object_or_404(Endpoint, pk=pk)
    message = outbox.write_test_message(endpoint, datetime.now(UTC))
    wakeups.WEBHOOKS.request()
    audit_log.log_changes(request, [endpoint], "Sent a test message.")
    return redirect("admin:segments_message_change", message.pk)


@require_permissions(CHANGE_ENDPOINT, methods=WRITE_METHODS)
def rotate_secret_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Make a new secret. The former one stays valid for a day."""
    endpoint = get_object_or_404(Endpoint, pk=pk)
    endpoints.rotate_secret(endpoint, datetime.now(UTC))
    audit_log.log_changes(request, [endpoint], "Made a new secret.")
    messages.success(
        request, "Messages are signed with the new secret, and for a day also with the former one."
    )
    return _redirect_to(endpoint)


@require_permissions(CHANGE_ENDPOINT, methods=WRITE_METHODS)
def pause_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Stop sending until the endpoint is resumed."""
    endpoint = get_object_or_404(Endpoint, pk=pk)
    if endpoints.pause_endpoint(endpoint, datetime.now(UTC)):
        audit_log.log_changes(request, [endpoint], "Paused.")
    messages.success(request, f"{endpoint.name} gets no messages until you resume it.")
    return _redirect_to(endpoint)


@require_permissions(CHANGE_ENDPOINT, methods=WRITE_METHODS)
def resume_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Resume sending. With ``skip``, waiting messages are deleted."""
    endpoint = get_object_or_404(Endpoint, pk=pk)
    skip = "skip" in request.POST
    outbox.resume_endpoint(endpoint, datetime.now(UTC), skip=skip)
    wakeups.WEBHOOKS.request()
    what = "without the waiting messages" if skip else "with the waiting messages"
    audit_log.log_changes(request, [endpoint], f"Resumed, {what}.")
    messages.success(request, f"{endpoint.name} is resumed, {what}.")
    return _redirect_to(endpoint)


@require_permissions(CHANGE_ENDPOINT, methods=READ_METHODS + WRITE_METHODS)
def replay_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Send changes again, from an id on. The person sees and confirms their number first."""
    endpoint = get_object_or_404(Endpoint, pk=pk)
    given = (request.POST if request.method == "POST" else request.GET).get("from", "").strip()
    first = int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None
    context: dict[str, Any] = {"endpoint": endpoint, "given": given, "first": None}
    if given and first is None:
        context["problem"] = "Enter the id of a change, a whole number."
    elif first is not None and not 1 <= first <= endpoint.cursor:
        context["problem"] = (
            f"Enter an id between 1 and {endpoint.cursor}. Later changes will be sent anyway."
        )
    elif first is not None and request.method == "POST":
        outbox.replay_changes(endpoint, first)
        wakeups.WEBHOOKS.request()
        audit_log.log_changes(request, [endpoint], f"Sent again from change {first} on.")
        messages.success(request, f"{endpoint.name} gets change {first} and all later ones again.")
        return _redirect_to(endpoint)
    elif first is not None:
        context |= {"first": first, "changes": _count_replayed(endpoint, first)}
    shared = {**model_admin.admin_site.each_context(request), "opts": model_admin.opts, "original": endpoint}
    title = {"title": f"Send changes to {endpoint.name} again"}
    return TemplateResponse(request, "segments/admin/replay.html", shared | title | context)


def _count_replayed(endpoint: Endpoint, first: int) -> int:
    chosen = Change.objects.filter(pk__gte=first, pk__lte=endpoint.cursor)
    return (chosen if endpoint.every_segment else chosen.filter(segment__in=endpoint.segments.all())).count()


def _redirect_to(endpoint: Endpoint) -> HttpResponse:
    return redirect("admin:segments_endpoint_change", endpoint.pk)
