"""The addresses below ``/api/v1/``."""

from django.urls import path

import core.http.path_converters  # noqa: F401 — names "id"

from . import (
    catalogue,
    changes,
    explanation,
    history,
    members,
    membership,
    preview,
    refreshes,
    segments,
    visitors,
)

urlpatterns = [
    path(
        "customers/<id:customer_id>/segments/",
        members.SegmentsOfCustomer.as_view(),
        name="api-customer-segments",
    ),
    path("filters/", catalogue.Filters.as_view(), name="api-filters"),
    path("templates/", catalogue.Templates.as_view(), name="api-templates"),
    path("refreshes/<int:pk>/", refreshes.RefreshDetail.as_view(), name="api-refresh"),
    path("segments/", segments.SegmentList.as_view(), name="api-segments"),
    # No segment may have these two for its slug.
    path("segments/membership/", membership.MembershipQuery.as_view(), name="api-membership"),
    path("segments/preview/", preview.Preview.as_view(), name="api-preview"),
    path("segments/<slug:slug>/", segments.SegmentDetail.as_view(), name="api-segment"),
    path("segments/<slug:slug>/refresh/", refreshes.RefreshOfSegment.as_view(), name="api-segment-refresh"),
    path("segments/<slug:slug>/members/", members.MemberList.as_view(), name="api-members"),
    path("segments/<slug:slug>/members/<id:customer_id>/", explanation.Member.as_view(), name="api-member"),
    path("segments/<slug:slug>/changes/", changes.Changes.as_view(), name="api-changes"),
    path("segments/<slug:slug>/history/", history.History.as_view(), name="api-history"),
    path(
        "visitors/<id:anonymous_id>/segments/",
        visitors.SegmentsOfVisitor.as_view(),
        name="api-visitor-segments",
    ),
]
