"""Measure how application servers respond while other clients send slowly.

Starts the web application with each installed server and opens connections that send a byte per second (of headers, or
of a body of 1,000 bytes) to a tracking endpoint. Meanwhile it requests /healthz over new connections. Prints a row for
each server: responses within 5 seconds, their median and slowest time, and how many of the slow connections the server
has closed within 15 seconds.
"""

import argparse
import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from segments_project.server.bundled_servers import free_port, redis_server, signal_on_parent_death  # noqa: E402

GUNICORN = "gunicorn segments_project.wsgi --workers 2 --no-control-socket --log-level error"
SERVERS = {
    "gunicorn sync": ("gunicorn", f"{GUNICORN} --worker-class sync --bind 127.0.0.1:{{port}}"),
    "gunicorn gthread": ("gunicorn", f"{GUNICORN} --threads 4 --bind 127.0.0.1:{{port}}"),
    "gunicorn gevent": ("gevent", f"{GUNICORN} --worker-class gevent --bind 127.0.0.1:{{port}}"),
    "granian": (
        "granian",
        "granian --interface wsgi --workers 2 --blocking-threads 4 --http1-header-read-timeout 10000"
        " --log-level error --port {port} segments_project.wsgi:application",
    ),
    "waitress": ("waitress", "waitress --threads 8 --port {port} segments_project.wsgi:application"),
    "ours": (
        "gunicorn",
        "gunicorn --config python:segments_project.server.gunicorn_config --log-level error --bind 127.0.0.1:{port}"
        " segments_project.wsgi",
    ),
}
REQUEST_HEAD = b"POST /v1/batch HTTP/1.1\r\nHost: 127.0.0.1\r\n"
DRIPPED_PARTS = {
    "headers": (REQUEST_HEAD, b"X-Drip: "),
    "body": (REQUEST_HEAD + b"Content-Length: 1000\r\n\r\n", b""),
}


@contextmanager
def running_server(command: str, environment: dict[str, str]) -> Iterator[int]:
    """Run a server and yield its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *command.format(port=port).split()],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=signal_on_parent_death(15),
    )
    try:
        until = time.monotonic() + 60
        while not isinstance(time_request(port), float):
            if time.monotonic() > until or process.poll() is not None:
                raise SystemExit(f"{command} does not answer")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()


def time_request(port: int) -> float | None:
    """Request /healthz over a new connection. Return the seconds, or None without a response in time."""
    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return time.monotonic() - began if connection.getresponse().status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


@contextmanager
def slow_connections(port: int, connections: int, begin: bytes, more: bytes) -> Iterator[Callable[[], int]]:
    """Keep open connections that send a byte per second. The result counts those that the server has closed."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for client in clients:
        client.sendall(begin + more)
        client.setblocking(False)
    stop, ended = threading.Event(), set[int]()

    def drip() -> None:
        while not stop.wait(1):
            for number, client in enumerate(clients):
                if number in ended:
                    continue
                try:
                    if client.recv(1000) is not None:
                        ended.add(number)  # a response, or the end of the connection
                except BlockingIOError:
                    try:
                        client.send(b"a")
                    except OSError:
                        ended.add(number)
                except OSError:
                    ended.add(number)

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield lambda: len(ended)
    finally:
        stop.set()
        thread.join()
        for client in clients:
            client.close()


def measure(port: int, connections: int, begin: bytes, more: bytes) -> str:
    """Return the row of one server and one kind of slow connection."""
    with slow_connections(port, connections, begin, more) as ended:
        began, answers, asks = time.monotonic(), list[float](), 0
        while time.monotonic() < began + 15:
            asks += 1
            seconds = time_request(port)
            if seconds is not None:
                answers.append(seconds)
            time.sleep(0.1)
        told = f"{1000 * statistics.median(answers):.0f} | {1000 * max(answers):.0f}" if answers else "– | –"
        return f"{len(answers)} of {asks} | {told} | {ended()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--servers", nargs="+", default=list(SERVERS), choices=list(SERVERS))
    options = parser.parse_args()
    print("| server | drips | connections | answered | median ms | slowest ms | ended within 15 s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, redis_server() as redis:
        environment = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/shop.sqlite3",
            "REDIS_URL": redis.url,
            "LOG_LEVEL": "ERROR",
        }
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT,
            env=environment,
            check=True,
        )
        for name in options.servers:
            package, command = SERVERS[name]
            if not importlib.util.find_spec(package):
                continue
            for connections in options.connections:
                for drip, (begin, more) in DRIPPED_PARTS.items():
                    with running_server(command, environment) as port:
                        row = measure(port, connections, begin, more)
                    print(f"| {name} | {drip} | {connections} | {row} |", flush=True)


if __name__ == "__main__":
    main()
