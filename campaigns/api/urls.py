"""The addresses of campaigns, below ``/api/v1/``."""

from django.urls import path

import core.http.path_converters  # noqa: F401 — names "id"

from . import coupons, visitors

urlpatterns = [
    path("coupons/<id:code>/", coupons.CouponView.as_view(), name="api-coupon"),
    path(
        "visitors/<id:anonymous_id>/messages/",
        visitors.VisitorMessagesView.as_view(),
        name="api-visitor-messages",
    ),
    path(
        "visitors/<id:anonymous_id>/messages/<uuid:token>/dismiss/",
        visitors.DismissMessageView.as_view(),
        name="api-visitor-message-dismiss",
    ),
]
