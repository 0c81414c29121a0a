"""Signs of life of work that takes long: given from a thread of its own, whatever the work is busy with."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connection


@contextmanager
def beating(beat: Callable[[], object], every: float) -> Iterator[None]:
    """Call this again and again, every so many seconds, until the block ends."""
    ended = threading.Event()
    threading.Thread(target=_go_on, args=(beat, every, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _go_on(beat: Callable[[], object], every: float, ended: threading.Event) -> None:
    try:
        while not ended.wait(every):
            try:
                beat()
            except DatabaseError:
                continue  # SQLite is writing; nobody else can be, so nobody takes the lease
    finally:
        connection.close()
