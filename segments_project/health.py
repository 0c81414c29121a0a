"""The health check, for load balancers, containers and `serve`."""

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
    """Return 200 if the database responds, else 503, and report on Redis, too.

    Redis does not change the status: without it, requests are still served, and background work starts later.
    """
    results = {"database": _works(_query_database), "redis": _works(_ping_redis)}
    return JsonResponse(
        {name: "ok" if works else "no answer" for name, works in results.items()},
        status=200 if results["database"] else 503,
    )


def _works(check: Callable[[], None]) -> bool:
    try:
        check()
    except (Error, redis.RedisError):
        return False
    return True


def _query_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ping_redis() -> None:
    # No retry: the next health check comes soon.
    with connect(settings.REDIS_URL, 2, retries=0) as client:
        client.ping()
