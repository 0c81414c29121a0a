"""The addresses below ``/api/v1/``."""

from django.urls import path, re_path

from . import views
from .errors import unknown_address

urlpatterns = [
    path("segments/", views.SegmentList.as_view(), name="api-segments"),
    path("segments/<slug:slug>/", views.SegmentDetail.as_view(), name="api-segment"),
    path("segments/<slug:slug>/members/", views.MemberList.as_view(), name="api-members"),
    re_path(r"^", unknown_address),
]
