"""A Django view without middleware that stores a request's body: what the tracking endpoint is compared with."""

from datetime import UTC, datetime

import harness  # sets up Django # noqa: F401
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test.utils import override_settings
from django.urls import path

from core.db import execution


def create_table() -> None:
    execution.execute("DROP TABLE IF EXISTS bare_inbox")
    execution.execute(
        "CREATE TABLE bare_inbox (id bigserial PRIMARY KEY, received_at timestamptz NOT NULL, body text NOT NULL)"
    )


def receive(request: HttpRequest) -> HttpResponse:
    if request.method == "OPTIONS":  # as with the product, this tells that the server has started
        return HttpResponse(status=204)
    execution.execute(
        "INSERT INTO bare_inbox (received_at, body) VALUES (%s, %s)",
        [datetime.now(UTC), request.body.decode()],
    )
    return JsonResponse({"success": True})


urlpatterns = [path("v1/batch", receive)]
settings.ROOT_URLCONF = __name__

with override_settings(MIDDLEWARE=[]):
    application = WSGIHandler()
