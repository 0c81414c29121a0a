"""The addresses below ``/api/v1/``."""

from django.urls import path, re_path

from customers.errors import unknown_address

from . import views

urlpatterns = [
    path(
        "customers/<str:customer_id>/segments/",
        views.SegmentsOfCustomer.as_view(),
        name="api-customer-segments",
    ),
    path("segments/", views.SegmentList.as_view(), name="api-segments"),
    path("segments/<slug:slug>/", views.SegmentDetail.as_view(), name="api-segment"),
    path("segments/<slug:slug>/members/", views.MemberList.as_view(), name="api-members"),
    re_path(r"^", unknown_address),
]
