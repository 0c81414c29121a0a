"""The URLs that `benchmarks/api.py` serves: the project, and minimal views to compare with."""

import harness  # sets up Django # noqa: F401
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.test.utils import override_settings
from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from customers.models import Customer


class BareView(APIView):
    """Return one row by its primary key, without authentication."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def get(self, request: Request, key: int) -> Response:
        return Response(Customer.objects.values("customer_id", "email").get(pk=key))


def plain(request: HttpRequest, key: int) -> JsonResponse:
    """Return the same without Django REST framework."""
    return JsonResponse(Customer.objects.values("customer_id", "email").get(pk=key))


urlpatterns = [
    path("bare/<int:key>/", BareView.as_view()),
    path("plain/<int:key>/", plain),
    path("", include("segments_project.urls")),
]
settings.ROOT_URLCONF = __name__

application = get_wsgi_application()
with override_settings(MIDDLEWARE=[]):
    without_middleware = WSGIHandler()
