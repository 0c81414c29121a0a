"""The addresses of campaigns, below ``/api/v1/``."""

from django.urls import path

from . import coupons

urlpatterns = [
    path("coupons/<str:code>/", coupons.CouponDetail.as_view(), name="api-coupon"),
]
