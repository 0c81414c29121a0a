"""The addresses below ``/api/v1/``."""

from django.urls import path, re_path

from customers.errors import unknown_address

from . import members, segments, visitors

urlpatterns = [
    path(
        "customers/<str:customer_id>/segments/",
        members.SegmentsOfCustomer.as_view(),
        name="api-customer-segments",
    ),
    path("segments/", segments.SegmentList.as_view(), name="api-segments"),
    path("segments/<slug:slug>/", segments.SegmentDetail.as_view(), name="api-segment"),
    path("segments/<slug:slug>/members/", members.MemberList.as_view(), name="api-members"),
    path(
        "visitors/<path:anonymous_id>/segments/",
        visitors.SegmentsOfVisitor.as_view(),
        name="api-visitor-segments",
    ),
    re_path(r"^", unknown_address),
]
