"""A delivery run: write messages from the change log, claim them, send them, and record the responses.

One thread does all database work. Other threads only send requests and wait for responses. Each endpoint has its own
threads, so a slow endpoint does not delay the others.
"""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final

from core import redis
from segments import wakeups
from segments.models import Endpoint, Message

from . import endpoints, leases, outbox, payload
from .leases import AttemptResult
from .signed_requests import EndpointConnection, Response, SignedRequest

RUN_HOLD: Final = "webhooks:delivery-run"
MAX_RUN_SECONDS: Final = 30  # then the worker is free for other tasks
HOLD_SECONDS: Final = 15  # without a heartbeat; then another worker may start a run
MAX_PARALLEL_REQUESTS: Final = 8  # per endpoint; a failing endpoint gets one request at a time
CLAIM_BATCH_SIZE: Final = 32  # few enough that the last request ends before its lease
POLL_SECONDS: Final = 0.5  # how often a run looks for new messages while requests are in flight


def run_worker() -> None:
    """Deliver due messages unless another worker does, and request the next run if there is more to do."""
    wakeups.WEBHOOKS.acknowledge()
    with redis.hold(RUN_HOLD, HOLD_SECONDS) as is_held:
        if not is_held:  # the worker that has the hold looks again at the end of its run
            return
        is_done = deliver_due(heartbeat=lambda: redis.extend_hold(RUN_HOLD, HOLD_SECONDS))
    if not is_done or outbox.has_unwritten_changes():
        wakeups.WEBHOOKS.request()
    elif due := leases.next_due_at():
        wakeups.WEBHOOKS.request_at(due, datetime.now(UTC))


def deliver_due(seconds: float = MAX_RUN_SECONDS, heartbeat: Callable[[], object] = bool) -> bool:
    """Deliver until nothing is due or the time is up. Return whether nothing is due.

    ``heartbeat`` is called in every round, to extend the hold.
    """
    with ExitStack() as stack:
        return _DeliveryRun(stack).run(time.monotonic() + seconds, heartbeat)


class _DeliveryRun:
    """One run, with its connections to endpoints and the requests in flight."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._connections: dict[tuple[int, str], EndpointConnection] = {}
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._in_flight: dict[Future[Response], Message] = {}

    def run(self, until: float, heartbeat: Callable[[], object]) -> bool:
        while True:
            heartbeat()
            is_over = time.monotonic() >= until
            if not is_over and self._send_due(datetime.now(UTC)):
                continue
            if not self._in_flight:
                return not is_over
            done, _ = wait(self._in_flight, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            if done:
                self._cancel_requests(leases.record_attempts([self._result(future) for future in done]))

    def _send_due(self, at: datetime) -> bool:
        """Send the messages that may be sent now. Return whether a withdrawn message made room for the next one."""
        has_withdrawn = False
        outbox.write_messages(at)
        for endpoint in leases.endpoints_to_serve():
            secrets = endpoints.signing_secrets(endpoint, at)
            if not secrets:
                endpoints.stop_endpoint(endpoint, at, reason=endpoints.STOPPED_SECRET_UNREADABLE)
                continue
            claimed = leases.claim_messages(endpoint, self._free_capacity(endpoint, at), at)
            changes = leases.changes_of_messages(claimed)
            for message in claimed:
                body = payload.build_payload(message, changes.get(message.first_id or 0))
                if not body:
                    outbox.withdraw_messages([message])
                    has_withdrawn = True
                    continue
                request = SignedRequest(message.public_id, body, secrets)
                future = self._pool(endpoint).submit(self._connection(endpoint).post, request)
                self._in_flight[future] = message
        return has_withdrawn

    def _free_capacity(self, endpoint: Endpoint, at: datetime) -> int:
        """Return how many more messages may be claimed for an endpoint."""
        if endpoint.held_until and at < endpoint.held_until:
            return 0
        in_flight = sum(message.endpoint_id == endpoint.pk for message in self._in_flight.values())
        return max(0, (1 if endpoint.is_failing else CLAIM_BATCH_SIZE) - in_flight)

    def _pool(self, endpoint: Endpoint) -> ThreadPoolExecutor:
        if endpoint.pk not in self._pools:
            pool = ThreadPoolExecutor(MAX_PARALLEL_REQUESTS, thread_name_prefix=f"webhook-{endpoint.pk}")
            self._pools[endpoint.pk] = self._stack.enter_context(pool)
        return self._pools[endpoint.pk]

    def _connection(self, endpoint: Endpoint) -> EndpointConnection:
        key = endpoint.pk, endpoint.url
        if key not in self._connections:
            self._connections[key] = EndpointConnection(endpoint.url)
            self._stack.callback(self._connections[key].close)
        return self._connections[key]

    def _result(self, future: Future[Response]) -> AttemptResult:
        message, response = self._in_flight.pop(future), future.result()
        if response.status is None:  # the host name may have another address by now
            self._connections.pop((message.endpoint_id, message.endpoint.url), None)
        return AttemptResult(message, response)

    def _cancel_requests(self, endpoint_ids: set[int]) -> None:
        """Cancel the requests that have not started, and release their messages."""
        waiting = [
            future for future, message in self._in_flight.items() if message.endpoint_id in endpoint_ids
        ]
        leases.release_messages([self._in_flight.pop(future) for future in waiting if future.cancel()])
