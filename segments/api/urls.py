"""URLs below ``/api/v1/``."""

from django.urls import path

import core.http.path_converters  # noqa: F401 — registers "id"

from . import (
    catalogue,
    changes,
    explanation,
    history,
    lifecycle,
    members,
    membership,
    preview,
    refreshes,
    segments,
    upcoming,
    visitors,
)

urlpatterns = [
    path(
        "customers/<id:customer_id>/segments/",
        members.SegmentsOfCustomerView.as_view(),
        name="api-customer-segments",
    ),
    path("filters/", catalogue.FiltersView.as_view(), name="api-filters"),
    path("templates/", catalogue.TemplatesView.as_view(), name="api-templates"),
    path("lifecycle/", lifecycle.LifecycleView.as_view(), name="api-lifecycle"),
    path("lifecycle/flow/", lifecycle.FlowView.as_view(), name="api-lifecycle-flow"),
    path("refreshes/<int:pk>/", refreshes.RefreshDetailView.as_view(), name="api-refresh"),
    path("segments/", segments.SegmentListView.as_view(), name="api-segments"),
    # These two words are reserved: no segment can have them as its slug.
    path("segments/membership/", membership.MembershipQueryView.as_view(), name="api-membership"),
    path("segments/preview/", preview.PreviewView.as_view(), name="api-preview"),
    path("segments/<slug:slug>/", segments.SegmentDetailView.as_view(), name="api-segment"),
    path("segments/<slug:slug>/refresh/", refreshes.RefreshSegmentView.as_view(), name="api-segment-refresh"),
    path("segments/<slug:slug>/members/", members.MemberListView.as_view(), name="api-members"),
    path(
        "segments/<slug:slug>/members/<id:customer_id>/", explanation.MemberView.as_view(), name="api-member"
    ),
    path("segments/<slug:slug>/changes/", changes.ChangesView.as_view(), name="api-changes"),
    path("segments/<slug:slug>/history/", history.HistoryView.as_view(), name="api-history"),
    path("segments/<slug:slug>/upcoming/", upcoming.UpcomingView.as_view(), name="api-upcoming"),
    path(
        "visitors/<id:anonymous_id>/segments/",
        visitors.SegmentsOfVisitorView.as_view(),
        name="api-visitor-segments",
    ),
]
