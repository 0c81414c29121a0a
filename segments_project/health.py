"""Is this installation able to work? Asked by load balancers, containers and `serve`."""

from collections.abc import Callable

import redis
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.backoff import NoBackoff
from redis.retry import Retry


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
    once = Retry(NoBackoff(), retries=0)  # who asks for our health will ask again
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2, retry=once
    ) as client:
        client.ping()
