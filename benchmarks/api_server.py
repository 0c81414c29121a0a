"""The URLs that `benchmarks/api.py` serves: the project, and a minimal view to compare with."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django.conf import settings  # noqa: E402 — only now
from django.urls import include, path  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from customers.models import Customer  # noqa: E402


class MinimalView(APIView):
    """Return one row by its primary key, without authentication."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def get(self, request: Request, key: int) -> Response:
        return Response(Customer.objects.values("customer_id", "email").get(pk=key))


urlpatterns = [path("bare/<int:key>/", MinimalView.as_view()), path("", include("segments_project.urls"))]
settings.ROOT_URLCONF = __name__
