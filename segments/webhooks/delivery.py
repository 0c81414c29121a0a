"""A run: messages are written from the log, claimed, sent by threads, and what was answered is recorded.

All that touches the database happens in one thread; the others do nothing but wait for answers. Each endpoint has its
own, so one that is slow keeps nobody else waiting.
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

RUN_HOLD: Final = "webhooks:a-run-goes-on"
MAX_RUN_SECONDS: Final = 30  # seconds: then other tasks have their turn
HOLD_SECONDS: Final = 15  # seconds without a sign of life, somebody else goes on
MAX_PARALLEL_REQUESTS: Final = 8  # to one endpoint; one that takes nothing gets one request at a time
CLAIM_BATCH_SIZE: Final = 32  # so few that the last is over before its lease is
POLL_SECONDS: Final = 0.5  # seconds, for what is new while requests are on their way


def run_worker() -> None:
    """Deliver what is due, unless another worker is at it, and see to it that somebody comes for the rest."""
    wakeups.WEBHOOKS.acknowledge()
    with redis.hold(RUN_HOLD, HOLD_SECONDS) as is_ours:
        if not is_ours:  # who is at it looks once more after its end
            return
        is_done = deliver_due(beat=lambda: redis.extend_hold(RUN_HOLD, HOLD_SECONDS))
    if not is_done or outbox.has_unwritten_changes():
        wakeups.WEBHOOKS.request()
    elif due := leases.next_due_at():
        wakeups.WEBHOOKS.request_at(due, datetime.now(UTC))


def deliver_due(seconds: float = MAX_RUN_SECONDS, beat: Callable[[], object] = bool) -> bool:
    """Deliver until nothing is due, or the time is over, calling ``beat`` again and again.

    Tells whether nothing was due in the end.
    """
    with ExitStack() as stack:
        return _DeliveryRun(stack).go(time.monotonic() + seconds, beat)


class _DeliveryRun:
    """One run, with the lines to its endpoints and the requests that are on their way."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._lines: dict[tuple[int, str], EndpointConnection] = {}
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._flying: dict[Future[Response], Message] = {}

    def go(self, until: float, beat: Callable[[], object]) -> bool:
        while True:
            beat()
            is_over = time.monotonic() >= until
            if not is_over and self._send_what_is_due(datetime.now(UTC)):
                continue
            if not self._flying:
                return not is_over
            done, _ = wait(self._flying, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            if done:
                self._take_back(leases.record_attempts([self._landed(future) for future in done]))

    def _send_what_is_due(self, at: datetime) -> bool:
        """Send what may be sent now; tell whether that leaves way at once for what comes after it."""
        has_withdrawn = False
        outbox.write_messages(at)
        for endpoint in leases.endpoints_to_serve():
            secrets = endpoints.signing_secrets(endpoint, at)
            if not secrets:
                endpoints.stop_endpoint(endpoint, at, because=endpoints.STOPPED_SECRET_UNREADABLE)
                continue
            claimed = leases.claim_messages(endpoint, self._room(endpoint, at), at)
            changes = leases.changes_of_messages(claimed)
            for message in claimed:
                body = payload.build_payload(message, changes.get(message.first_id or 0))
                if not body:
                    outbox.withdraw_messages([message])
                    has_withdrawn = True
                    continue
                post = SignedRequest(message.public_id, body, secrets)
                self._flying[self._pool(endpoint).submit(self._line(endpoint).post, post)] = message
        return has_withdrawn

    def _room(self, endpoint: Endpoint, at: datetime) -> int:
        """Give how many more messages are claimed for an endpoint now."""
        if endpoint.held_until and at < endpoint.held_until:
            return 0
        flying = sum(message.endpoint_id == endpoint.pk for message in self._flying.values())
        return max(0, (1 if endpoint.is_failing else CLAIM_BATCH_SIZE) - flying)

    def _pool(self, endpoint: Endpoint) -> ThreadPoolExecutor:
        if endpoint.pk not in self._pools:
            pool = ThreadPoolExecutor(MAX_PARALLEL_REQUESTS, thread_name_prefix=f"webhook-{endpoint.pk}")
            self._pools[endpoint.pk] = self._stack.enter_context(pool)
        return self._pools[endpoint.pk]

    def _line(self, endpoint: Endpoint) -> EndpointConnection:
        key = endpoint.pk, endpoint.url
        if key not in self._lines:
            self._lines[key] = EndpointConnection(endpoint.url)
            self._stack.callback(self._lines[key].close)
        return self._lines[key]

    def _landed(self, future: Future[Response]) -> AttemptResult:
        message, answer = self._flying.pop(future), future.result()
        if answer.status is None:  # its name may lead elsewhere by now
            self._lines.pop((message.endpoint_id, message.endpoint.url), None)
        return AttemptResult(message, answer)

    def _take_back(self, troubled: set[int]) -> None:
        """Keep what has not begun from going to endpoints that have trouble enough."""
        waiting = [one for one, message in self._flying.items() if message.endpoint_id in troubled]
        leases.release_messages([self._flying.pop(future) for future in waiting if future.cancel()])
