"""The admin of segments: the list, the form, and the URLs of all their pages. ``segment_store`` does the writing."""

import json
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as ask_and_delete
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from unfold.decorators import display

from core.admin.capped_lists import CappedListAdmin
from core.admin.permissions import READ_METHODS, staff_user
from core.templatetags.display import moment, number
from customers.admin import contact_data
from segments import segment_store
from segments.models import Segment
from segments.rules import registry
from segments.segment_store import SegmentInUse

from . import (
    changes,
    deletion,
    duplicates,
    editor,
    filling,
    gallery,
    members,
    new_segments,
    over_time,
    overview,
    refresh_requests,
    segment_list,
    texts,
    upcoming,
    versions,
)
from .forms import FixedListForm, SegmentForm, tags_text
from .lifecycle import flow_page, flow_people, retention_page, stages_page
from .page_context import segment_context
from .people import selection, table

FILTER_HELP = [
    {
        "name": name,
        "label": condition.label,
        "help": condition.__doc__,
        "example": json.dumps({name: condition.example}, ensure_ascii=False),
    }
    for name, condition in registry.items()
]


@admin.register(Segment)
class SegmentAdmin(CappedListAdmin):
    """The list of segments and the pages of a segment."""

    list_display = (
        "star",
        "titled",
        "sentence_",
        "members",
        "known",
        "state",
        "refreshed",
        "duplicate",
    )
    list_before_template = "segments/admin/segments_before.html"
    list_filter = (segment_list.StarFilter, segment_list.KindFilter, segment_list.TagFilter)
    search_fields = ("name", "slug", "description", "tags__name")
    search_help_text = "Part of a name, description or tag"
    ordering = ("name", "pk")
    actions = ("refresh_now", "delete_selected")
    list_display_links = ("titled",)
    form = SegmentForm
    warn_unsaved_form = True
    change_form_outer_before_template = "segments/admin/segment_before.html"
    change_form_outer_after_template = "segments/admin/segment_after.html"
    delete_confirmation_template = "segments/admin/delete.html"
    delete_selected_confirmation_template = "segments/admin/delete.html"

    def get_urls(self) -> list[URLPattern]:
        """Put this app's pages before the admin's, whose URLs match any text as a key."""
        return [
            path(address, self.admin_site.admin_view(partial(view, self)), name=f"segments_segment_{name}")
            for address, view, name in (
                ("templates/", gallery.gallery_view, "from_template"),
                ("templates/install/", gallery.install_missing_view, "install_templates"),
                ("templates/<slug:slug>/size/", gallery.template_size_view, "template_size"),
                ("fixed-list/", new_segments.fixed_list_view, "fixed_list"),
                ("lifecycle/", stages_page.stages_view, "lifecycle"),
                ("lifecycle/set-up/", stages_page.set_up_view, "lifecycle_set_up"),
                ("lifecycle/flow/", flow_page.flow_view, "flow"),
                ("lifecycle/flow/panel/", flow_page.flow_panel, "flow_panel"),
                ("lifecycle/flow/people/", flow_people.flow_people_view, "flow_people"),
                ("lifecycle/retention/", retention_page.retention_view, "retention"),
                ("lifecycle/retention/panel/", retention_page.retention_panel, "retention_panel"),
                ("lifecycle/retention/people/", retention_page.retention_people_view, "retention_people"),
                ("rule/count/", editor.count_view, "rule_count"),
                ("rule/details/", editor.details_view, "rule_details"),
                ("rule/suggestions/", editor.suggestions_view, "rule_suggestions"),
                ("rule/unknown-values/", editor.unknown_values_view, "rule_unknown_values"),
                ("rule/count/<str:ticket>/", editor.count_result_view, "rule_count_result"),
                ("<int:pk>/rule/", SegmentAdmin.form_view, "rule"),
                ("<int:pk>/star/", segment_list.star_view, "star"),
                ("<int:pk>/filling/", filling.filling_view, "filling"),
                ("<int:pk>/over-time/", over_time.over_time_view, "over_time"),
                ("<int:pk>/over-time/compute/", over_time.compute_view, "history_compute"),
                ("<int:pk>/over-time/compare/", over_time.compare_view, "history_compare"),
                ("<int:pk>/over-time/<int:run>/", over_time.progress_view, "history_progress"),
                ("<int:pk>/over-time/<int:run>/cancel/", over_time.cancel_view, "history_cancel"),
                ("<int:pk>/revenue/", overview.revenue_view, "revenue"),
                ("<int:pk>/overlap/", overview.overlap_view, "overlap"),
                ("<int:pk>/changes/", changes.changes_view, "changes"),
                ("<int:pk>/upcoming/", upcoming.upcoming_view, "upcoming"),
                ("<int:pk>/upcoming.csv", upcoming.upcoming_csv_view, "upcoming_csv"),
                ("<int:pk>/ahead/", upcoming.ahead_view, "ahead"),
                ("<int:pk>/versions/", versions.versions_view, "versions"),
                ("<int:pk>/versions/compare/", versions.compare_view, "compare"),
                ("<int:pk>/versions/<int:number>/restore/", versions.restore_view, "restore"),
                ("<int:pk>/freeze/", new_segments.freeze_view, "freeze"),
                ("<int:pk>/refresh/", refresh_requests.refresh_view, "refresh"),
                ("<int:pk>/members/", table.people_view, "members"),
                ("<int:pk>/members.csv", table.people_csv_view, "members_csv"),
                ("<int:pk>/members/selected/", selection.selection_view, "members_selected"),
                ("<int:pk>/members/add/", members.add_members_view, "members_add"),
            )
        ] + super().get_urls()

    # -- The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        return segment_list.with_stars(super().get_queryset(request), request).prefetch_related("tags")

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        """Put the person's starred segments first."""
        return (segment_list.has_star(request).desc(), *self.ordering)

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        context = segment_list.list_context(request) | (extra_context or {})
        return super().changelist_view(request, context)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Leave out the links for which the person lacks a permission."""
        may_add = self.has_add_permission(request)
        return tuple(name for name in self.list_display if name != "duplicate" or may_add)

    @display(description="Tags")
    def tags(self, segment: Segment) -> str:
        """Show the tags to staff who may not edit them."""
        return tags_text(segment) or "–"

    @display(description="★")
    def star(self, segment: Any) -> str:
        return segment_list.star_button(segment, is_starred=segment.is_starred)

    @display(description="Segment")
    def titled(self, segment: Segment) -> str:
        return segment.name

    @display(description="Who is in")
    def sentence_(self, segment: Segment) -> str:
        """Show the rule as a sentence, with the tags below it."""
        tags = segment_list.tag_chips(segment)
        return format_html("{}{}{}", texts.segment_sentence(segment), " " if tags else "", tags)

    @display(description="Members")
    def members(self, segment: Segment) -> str:
        return number(segment.size)

    @display(description="Known")
    def known(self, segment: Segment) -> str:
        """Show how many members have an e-mail address or a phone number."""
        return number(segment.known_size)

    @display(description="Refreshed")
    def refreshed(self, segment: Segment) -> str:
        """Show the instant as of which the members are right."""
        return moment(segment.refreshed_at) if segment.refreshed_at else "never"

    @display(description="Status", label=texts.STATUS_LABELS)
    def state(self, segment: Segment) -> str:
        return texts.status_text(segment)

    @display(description="")
    def duplicate(self, segment: Segment) -> str:
        return format_html(
            '<a class="link" href="{}" aria-label="Duplicate {}">Duplicate</a>',
            duplicates.duplicate_url(segment),
            segment.name,
        )

    @admin.action(description="Refresh now", permissions=["change"])
    def refresh_now(self, request: HttpRequest, queryset: QuerySet[Segment]) -> None:
        refresh_requests.queue_refreshes(request, queryset)

    # -- The pages of one

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        """Show the segment; the form, which has a page of its own, may be sent to either address."""
        if request.method not in READ_METHODS:
            return super().change_view(request, object_id, form_url, extra_context)
        segment = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, segment):
            raise PermissionDenied
        if segment is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return overview.overview_view(self, request, segment)

    def form_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show or process the form. ``change_view`` shows the overview for GET."""
        return super().change_view(request, str(pk))

    def response_post_save_change(self, request: HttpRequest, obj: Segment) -> HttpResponse:
        """Redirect to the segment's overview, which fills while the person looks."""
        return redirect("admin:segments_segment_change", obj.pk)

    response_post_save_add = response_post_save_change

    # -- The form

    def get_form(self, request: HttpRequest, obj: Segment | None = None, change: bool = False, **kwargs: Any):
        """Return a form without a rule for a fixed list."""
        if obj and not obj.is_dynamic:
            kwargs["form"] = FixedListForm
        form = super().get_form(request, obj, change=change, **kwargs)
        form.sees_contact = contact_data.may_see(request)  # the class was created for this request
        return form

    def get_fields(self, request: HttpRequest, obj: Segment | None = None) -> tuple[str, ...]:
        """Return the form's fields in their order."""
        return (SegmentForm if obj is None or obj.is_dynamic else FixedListForm).Meta.fields

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Segment | None = None
    ) -> dict[str, tuple[str]]:
        """Make the slug from the name while the segment is new."""
        return {} if obj else {"slug": ("name",)}

    def save_model(self, request: HttpRequest, obj: Segment, form: Any, change: bool) -> None:
        """Save through ``segment_store``. The form has tried it, so an error here is a race and rolls back."""
        form.save_segment(obj, staff_user(request))
        form.save_tags(obj)
        if obj.is_active and filling.is_filling(obj):
            transaction.on_commit(partial(refresh_requests.queue_after_saving, request, obj))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill the form with the segment to duplicate, if the request names one."""
        return duplicates.initial_data(request) or super().get_changeform_initial_data(request)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> str:
        """Return the old and new values, for the audit log."""
        return texts.edit_summary(form, is_new=add)

    def render_change_form(
        self, request: HttpRequest, context: dict, obj: Segment | None = None, **kwargs: Any
    ):
        """Add the head of the page, and the filters that a rule can use."""
        context |= {"filters": FILTER_HELP, "has_rule": obj is None or obj.is_dynamic, "tab": "rule"}
        if obj:
            context |= segment_context(request, obj)
        return super().render_change_form(request, context, obj=obj, **kwargs)

    # -- Deletion

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        """Return what changes with the segments, and what refers to them. Their members are too many to list."""
        doomed = list(objs)
        blocked = deletion.blocking_links(doomed)
        return deletion.consequences(request, doomed), {"segments": len(doomed)}, set(), blocked

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict | None = None
    ) -> HttpResponse:
        """Delete a segment, or show what uses it."""
        try:
            with transaction.atomic():
                return super().delete_view(request, object_id, extra_context)
        except SegmentInUse as error:
            messages.error(request, error.args[0])
            return redirect(f"{self.admin_site.name}:segments_segment_change", object_id)

    @admin.action(description="Delete selected segments", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Segment]) -> HttpResponse | None:
        """Delete all selected segments, or none if one of them is in use."""
        try:
            with transaction.atomic():
                return ask_and_delete(self, request, queryset)
        except SegmentInUse as error:
            messages.error(request, error.args[0])
            return None

    def delete_model(self, request: HttpRequest, obj: Segment) -> None:
        segment_store.delete_segments([obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Segment]) -> None:
        """Delete all or none."""
        segment_store.delete_segments(queryset)
