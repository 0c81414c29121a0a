"""The processes of an installation (web, workers and beat), started and stopped together.

``honcho`` also starts and stops processes together, but does not report when they are ready, does not end its children
when it is killed, kills processes after five seconds (a worker may need twenty to finish a task), and cannot let one
process end without the others.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from celery import Celery
from django.conf import settings
from kombu.exceptions import OperationalError

from segments_project.redis_url import celery_broker_url

from . import bundled_servers

HOST = "127.0.0.1"
STOP_TIMEOUT_SECONDS = 20.0
"""After this time, a process that has not stopped is killed."""
READY_TIMEOUT_SECONDS = 120.0
"""Twenty times what two slow cores need."""


class ProcessError(Exception):
    """The installation could not be started. The message says why."""


@dataclass(frozen=True)
class Child:
    """A process. ``name`` prefixes its output. If a vital process ends, the others are stopped."""

    name: str
    process: subprocess.Popen[bytes]
    is_vital: bool


def run_processes(port: int, announce: Callable[[str], None], *, with_visitors: bool = False) -> int:
    """Run web, workers and beat until Ctrl-C or SIGTERM, and return the exit status.

    `announce` is called with the URL when everything is ready. Port 0 means any free port. The output of the processes
    goes to standard error. The status is 0 after Ctrl-C or SIGTERM, and 1 if a process ended by itself. `with_visitors`
    adds the demo's visitors: if that process ends, the others continue. Raises ProcessError if the port is in use or
    there is no Redis.
    """
    port = _free_port(port)
    use_default_urls(port)
    with ExitStack() as stack:
        stop = stack.enter_context(_stop_event())
        redis_url = settings.REDIS_URL
        if not settings.REDIS_IS_CONFIGURED:
            try:
                redis_url = stack.enter_context(bundled_servers.redis_server()).url
            except bundled_servers.ServerError as error:
                raise ProcessError(str(error)) from error

        worker = f"serve-{os.getpid()}@{socket.gethostname()}"
        children: list[Child] = []
        stack.callback(_stop, children)
        environment = {
            **os.environ,
            "REDIS_URL": redis_url,
            "PUBLIC_URL": settings.PUBLIC_URL,
            "SHOP_URL": settings.SHOP_URL,
        }
        if with_visitors:
            environment.setdefault("LOG_LEVEL", "WARNING")  # otherwise each of their messages logs ten lines
        for name, arguments in _commands(port, worker).items():
            children.append(_start(name, arguments, environment))
        if with_visitors:  # they retry until the web process responds
            children.append(
                _start("visits", ["django", "visit_demo", _address(port)], environment, is_vital=False)
            )
        for child in children:  # after all forks: a process with threads should not fork
            threading.Thread(target=_forward_output, args=[child], daemon=True).start()

        until = time.monotonic() + READY_TIMEOUT_SECONDS
        ready = False
        while not stop.wait(0.2):
            if ended := next((child for child in children if child.process.poll() is not None), None):
                how = f"{ended.name} ended with status {ended.process.returncode}"
                if ended.is_vital:
                    _print("serve", f"{how}; stopping the others")
                    return 1
                _print("serve", f"{how}; the others continue")
                children.remove(ended)
            if ready:
                continue
            if _web_answers(port) and _worker_answers(worker, redis_url):
                ready = True
                announce(_address(port))
            elif time.monotonic() > until:
                _print("serve", f"not ready within {READY_TIMEOUT_SECONDS:.0f} seconds; stopping")
                return 1
        return 0


def use_default_urls(port: int) -> None:
    """Use this port in links if no other URL is configured."""
    if not settings.PUBLIC_URL_IS_CONFIGURED:
        settings.PUBLIC_URL = _address(port).rstrip("/")
    if not settings.SHOP_URL_IS_CONFIGURED:
        settings.SHOP_URL = _address(port)


def _commands(port: int, worker: str) -> dict[str, list[str]]:
    """Return the processes, as arguments of `python -m`."""
    web = f"gunicorn --config python:segments_project.server.gunicorn_config --bind {HOST}:{port} segments_project.wsgi"
    celery = "celery --quiet --app segments_project"
    alone = "--without-gossip --without-mingle"  # there are no other workers
    two = f"--queues {settings.COUNTS_QUEUE} --concurrency 2"
    return {
        "web": web.split(),
        "worker": f"{celery} worker --concurrency 2 --hostname {worker} {alone}".split(),
        # Long counts of rules, and one history at a time, so that nothing else waits for them.
        "counts": f"{celery} worker {two} --hostname counts-{worker} {alone}".split(),
        "beat": f"{celery} beat --pidfile=".split(),  # no file that stays when beat is killed
    }


def _address(port: int) -> str:
    return f"http://{HOST}:{port}/"


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        # As gunicorn does: connections that are closing do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OverflowError as error:
            raise ProcessError(f"{port} is not a port: it must be between 0 and 65535") from error
        except PermissionError as error:
            raise ProcessError(f"port {port} needs root: choose one above 1023") from error
        except OSError as error:
            raise ProcessError(f"port {port} is in use: choose another one with --port") from error
        return int(probe.getsockname()[1])


@contextmanager
def _stop_event() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set instead of ending this process."""
    event = threading.Event()
    previous = {
        number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _start(
    name: str, arguments: list[str], environment: Mapping[str, str], *, is_vital: bool = True
) -> Child:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A process group of its own: Ctrl-C reaches only us, and the children of a killed process can be ended.
        start_new_session=True,
        preexec_fn=bundled_servers.signal_on_parent_death(signal.SIGTERM),
    )
    return Child(name, process, is_vital)


def _forward_output(child: Child) -> None:
    for line in child.process.stdout or ():
        _print(child.name, line.decode(errors="replace").rstrip())


def _print(name: str, line: str) -> None:
    sys.stderr.write(f"{name:<6} | {line}\n")
    sys.stderr.flush()


def _stop(children: list[Child]) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    until = time.monotonic() + STOP_TIMEOUT_SECONDS
    for child in children:
        try:
            child.process.wait(timeout=max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _print(
                "serve", f"{child.name} did not stop in time and is killed; an unfinished task will run again"
            )
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()


def _web_answers(port: int) -> bool:
    # Not urllib, which would use a proxy from the environment.
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (HTTPException, OSError):
        return False
    finally:
        connection.close()


def _worker_answers(worker: str, redis_url: str) -> bool:
    # The project's own app would use the Redis of the settings, which can be another one.
    with Celery(broker=celery_broker_url(redis_url), set_as_current=False) as app:
        try:
            return bool(app.control.ping(destination=[worker], timeout=1))
        except OperationalError:
            return False
