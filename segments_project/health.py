"""Is this installation able to work? Asked by load balancers, containers and `serve`."""

from collections.abc import Callable

import redis
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core.redis import connect


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 where the database answers, otherwise 503; says of Redis, too, whether it answers, but not where they are.

    Without Redis messages are taken and pages shown, as ever; what is sent for comes later. So nobody is sent away.
    """
    answers = {"database": _answers(_ask_database), "redis": _answers(_ask_redis)}
    return JsonResponse(
        {name: "ok" if works else "no answer" for name, works in answers.items()},
        status=200 if answers["database"] else 503,
    )


def _answers(ask: Callable[[], None]) -> bool:
    try:
        ask()
    except (Error, redis.RedisError):
        return False
    return True


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_redis() -> None:
    # No retry: who asks for our health will ask again.
    with connect(settings.REDIS_URL, 2, retries=0) as client:
        client.ping()
