"""The addresses of campaigns, below ``/api/v1/``."""

from django.urls import path

from . import coupons, visitors

urlpatterns = [
    path("coupons/<str:code>/", coupons.CouponDetail.as_view(), name="api-coupon"),
    path(
        "visitors/<path:anonymous_id>/messages/",
        visitors.MessagesForVisitor.as_view(),
        name="api-visitor-messages",
    ),
    path(
        "visitors/<path:anonymous_id>/messages/<uuid:token>/dismiss/",
        visitors.Dismissal.as_view(),
        name="api-visitor-message-dismiss",
    ),
]
