"""The connection to PostgreSQL. Django imports this module by the setting ENGINE."""

import select
import time
from typing import Any, Final

from django.db.backends.postgresql import base

ASKED_EVERY: Final = 10.0
"""Seconds. Only the server can tell that a machine in between forgot the connection, or that another server took over
the address.
"""


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that asks the server whether it still works only if there is reason to."""

    _asked_at = 0.0

    def is_usable(self) -> bool:
        """Return whether the connection works. Called at the first statement of each request.

        A server that stops closes its connections, and one that ends a connection says why: then there is something to
        read, although nothing was asked.
        """
        if self.connection is not None and not self.errors_occurred and not self._is_due(time.monotonic()):
            return True
        usable: bool = super().is_usable()
        if usable:
            self._asked_at = time.monotonic()
        return usable

    def _is_due(self, now: float) -> bool:
        if now - self._asked_at >= ASKED_EVERY or self.connection.closed:
            return True
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        self._asked_at = time.monotonic()
        return connection
