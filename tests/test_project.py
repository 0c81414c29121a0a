"""The wiring: settings, servers, processes, and the addresses that belong to no app."""

import json
import os
import pickle
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import psycopg
import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from redis import Redis

from customers.imports import uploads
from segments_project import __version__, secret_key
from segments_project.celery import app
from segments_project.redis_url import celery_broker_url, redis_url_with_database
from segments_project.server import bundled_servers

from .conftest import eventually

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells children of a parent's death"
)


# -- Settings


ABOUT_SETTINGS = (
    "import json; from django.conf import settings as s; d = s.DATABASES['default'];"
    "print(json.dumps([d['ENGINE'], str(d['NAME']), s.REDIS_IS_CONFIGURED, s.TIME_ZONE, s.SECRET_KEY]))"
)


def settings_with(script: str = ABOUT_SETTINGS, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a fresh process with only these variables says about its settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=settings.BASE_DIR,
        env={**kept, "DJANGO_SETTINGS_MODULE": "segments_project.settings", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_default_settings_need_no_installation(tmp_path: Path) -> None:
    engine, name, redis_is_configured, zone, _ = json.loads(settings_with(SECRET_KEY="x").stdout)

    assert engine.endswith("sqlite3")
    assert name.endswith("data/shop.sqlite3")
    assert not redis_is_configured
    assert zone == "UTC"


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"TIME_ZONE": "Mars/Olympus"}, "TIME_ZONE: 'Mars/Olympus' is not a time zone"),
        ({"SHOP_CURRENCY": "euro"}, "SHOP_CURRENCY: 'euro' is not a currency code"),
        ({"API_RATES": "reading=10,riting=5"}, "API_RATES: riting=5 is invalid"),
        ({"API_RATES": "reading=-1"}, "API_RATES: reading=-1 is invalid"),
        ({"VISITOR_ORIGINS": "https://shop.example/"}, "'https://shop.example/' is not an origin"),
        ({"VISITOR_ORIGINS": "*"}, "VISITOR_ORIGINS: '*' is not an origin"),
        (
            {"WEBHOOK_ALLOWED_NETWORKS": "10.1.2.3/8"},
            "WEBHOOK_ALLOWED_NETWORKS: 10.1.2.3/8 has host bits set",
        ),
        ({"WEBHOOK_LOG_KEPT_FOR": "31"}, "WEBHOOK_LOG_KEPT_FOR: must be 0 to 30 days"),
        ({"STATEMENT_LIMIT": "-1"}, "STATEMENT_LIMIT: must be 0 (no limit)"),
        ({"INBOX_DRAINS": "0"}, "INBOX_DRAINS: must be 1 to 16"),
        ({"PUBLIC_URL": "shop.example"}, "PUBLIC_URL: 'shop.example' is not a URL"),
        ({"REDIS_URL": "redis.internal:6379"}, "REDIS_URL: redis.internal://… is not a Redis URL"),
    ],
    ids=[
        "zone",
        "currency",
        "group",
        "rate",
        "page",
        "any origin",
        "networks",
        "days",
        "statements",
        "drains",
        "public address",
        "Redis",
    ],
)
def test_an_invalid_setting_says_what_is_wrong(variables: dict[str, str], complaint: str) -> None:
    done = settings_with(SECRET_KEY="x", **variables)

    assert done.returncode == 1
    assert complaint in done.stderr


def test_the_database_can_be_in_a_folder_with_special_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a shop+%41"
    url = "sqlite:///" + str(folder).replace("%", "%25").replace(" ", "%20").replace("+", "%2B")

    _, name, _, _, key = json.loads(settings_with(DATABASE_URL=f"{url}/shop.sqlite3").stdout)

    assert name == str(folder / "shop.sqlite3")
    assert (folder / "secret_key").read_text().strip() == key


def test_options_of_the_database_url_are_added_to_ours() -> None:
    script = "from django.conf import settings; print(settings.DATABASES['default']['OPTIONS']['options'])"

    done = settings_with(
        script,
        SECRET_KEY="x",
        DATABASE_URL="postgresql://shop@db/shop?options=-c%20work_mem%3D64MB%20-c%20jit%3Don",
    )

    ours, _, theirs = done.stdout.strip().partition("prefer-local ")
    assert "jit=off" in ours
    assert theirs == "-c work_mem=64MB -c jit=on"  # the last one counts


def test_a_secret_key_is_created_once_and_readable_only_by_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(secret_key.load_or_create_secret_key, [folder] * 8))

    assert len(keys) == 1
    assert len(keys.pop()) >= 50
    assert [path.name for path in folder.iterdir()] == ["secret_key"]
    assert stat.S_IMODE((folder / "secret_key").stat().st_mode) == 0o600


@pytest.mark.parametrize(("given", "is_there"), [("{}", False), ('{"WEBHOOK_SECRET": "a:b"}', True)])
def test_provider_events_are_received_only_with_a_webhook_secret(
    tmp_path: Path, given: str, is_there: bool
) -> None:
    package = tmp_path / "anymail"  # stands for django-anymail, which is not among our own packages
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "signals.py").write_text("from django.dispatch import Signal\ntracking = Signal()\n")
    urls = "from django.urls import path\nurlpatterns = [path('postmark/tracking/', lambda request: None)]\n"
    (package / "urls.py").write_text(urls)
    script = (
        "import django; django.setup(); from django.urls import is_valid_path;"
        "print(bool(is_valid_path('/anymail/postmark/tracking/')))"
    )

    done = settings_with(script, SECRET_KEY="x", PYTHONPATH=str(tmp_path), ANYMAIL=given)

    assert (done.returncode, done.stdout.strip()) == (0, str(is_there)), done.stderr


@pytest.mark.parametrize("as_json", ["True", "False"])
def test_the_log_contains_no_signed_links(as_json: str) -> None:
    script = (
        "import django; django.setup(); from django.test import Client;"
        "client = Client(SERVER_NAME='localhost', raise_request_exception=False);"
        "[client.get(path) for path in ('/admin/password/choose/MQ/tok-secret/', '/unsubscribe/to:secret?a=b',"
        " '/confirm/to:secret', '/go/to:secret')]"
    )

    done = settings_with(script, SECRET_KEY="x", DATABASE_URL="sqlite://:memory:", LOG_JSON=as_json)

    assert done.returncode == 0, done.stderr
    for path in ("/admin/password/choose/MQ/", "/unsubscribe/", "/confirm/", "/go/"):
        assert path in done.stderr
    assert "secret" not in done.stderr


def test_an_empty_secret_key_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch()

    with pytest.raises(ImproperlyConfigured, match="is empty"):
        secret_key.load_or_create_secret_key(tmp_path)


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]

    assert project["version"] == __version__


@pytest.mark.django_db
def test_sqlite_readers_and_a_writer_do_not_block_each_other() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite")
    with connection.cursor() as cursor:
        journal = cursor.execute("PRAGMA journal_mode").fetchone()

    assert journal == ("wal",)
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert Path(connection.settings_dict["NAME"]).exists()  # a file: workers can open it


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


# -- Addresses


@pytest.mark.django_db
def test_the_health_check_passes(client: Client) -> None:
    response = client.get("/healthz")

    assert response.status_code == 200
    assert response.json() == {"database": "ok", "redis": "ok"}


@pytest.mark.django_db
def test_the_health_check_reports_redis_as_unavailable_and_passes(client: Client, settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{bundled_servers.free_port()}/0"

    response = client.get("/healthz")

    assert response.status_code == 200
    assert response.json() == {"database": "ok", "redis": "no answer"}


@pytest.mark.django_db
def test_the_root_redirects_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"


@pytest.mark.parametrize(
    "path",
    ["admin/css/base.css", "unfold/css/styles.css", "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css"],
)
def test_static_files_are_served_without_collectstatic(client: Client, settings, path: str) -> None:
    settings.WHITENOISE_AUTOREFRESH = False  # as outside of the tests

    response = client.get(f"/static/{path}")

    assert response.status_code == 200
    assert response.getvalue()


@pytest.mark.django_db
def test_the_api_documentation_loads_nothing_from_the_internet(client: Client) -> None:
    page = client.get("/api/docs/").content.decode()

    assert "swagger" in page
    assert "//cdn" not in page
    assert client.get("/api/schema/").status_code == 200


# -- Pages and headers


def directives(response: Any) -> dict[str, list[str]]:
    """The policy of a page."""
    lines = [line.split() for line in response["Content-Security-Policy"].split(";")]
    return {name: sources for name, *sources in lines}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/unsubscribe/x",
        "/go/x",
        "/nowhere",
        "/healthz",
        "/v1/batch",
        "/static/core/admin.css",
        "/api/docs/",
    ],
)
def test_public_pages_run_no_script_from_other_hosts(client: Client, path: str) -> None:
    page = client.get(path)
    policy = directives(page)

    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert policy["form-action"] == ["'self'"]
    scripts = [source for source in policy["script-src"] if not source.startswith("'nonce-")]
    assert scripts == ["'self'"]
    if not path.startswith("/api/"):
        assert "'unsafe-inline'" not in policy["style-src"]
    assert not re.search(r"<script(?![^>]*(src|nonce|application/json))", page.getvalue().decode())


@pytest.mark.django_db
def test_a_nonce_is_new_for_each_page(client: Client) -> None:
    pages = [client.get("/unsubscribe/x") for _ in range(2)]
    nonces = [re.findall('nonce="([^"]+)"', page.content.decode()) for page in pages]

    assert nonces[0] != nonces[1]
    for page, [nonce] in zip(pages, nonces, strict=True):
        assert f"'nonce-{nonce}'" in directives(page)["style-src"]


@pytest.mark.django_db
def test_the_admin_evaluates_for_alpine_and_runs_nothing_inline(client: Client, settings) -> None:
    settings.SHOP_URL, settings.PRODUCT_HOSTS = "https://shop.example/de/", ["cdn.shop.example"]

    policy = directives(client.get("/admin/login/"))

    assert policy["script-src"] == ["'self'", "'unsafe-eval'"]
    assert {"https://shop.example", "cdn.shop.example"} <= set(policy["img-src"])


def test_behind_an_https_proxy_everything_uses_https() -> None:
    script = (
        "import json; from django.conf import settings as s; print(json.dumps([s.SESSION_COOKIE_SECURE,"
        "s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT, s.SECURE_HSTS_SECONDS >= 31_536_000]))"
    )
    assert (
        json.loads(settings_with(SECRET_KEY="x", BEHIND_HTTPS_PROXY="True", script=script).stdout)
        == [True] * 4
    )
    assert json.loads(settings_with(SECRET_KEY="x", script=script).stdout) == [False] * 4


# -- Files


@pytest.mark.django_db(transaction=True)
def test_files_and_folders_are_accessible_only_to_their_owner(
    tmp_path: Path, settings, client: Client
) -> None:
    settings.IMPORTS_DIR = tmp_path / "data" / "imports"
    bad = tmp_path / "bad.csv"
    bad.write_text("order_id,customer_id,placed_at\no1,c1,nonsense\n")
    with pytest.raises((SystemExit, CommandError)):
        call_command("import_csv", "orders", str(bad), errors=tmp_path / "errors.csv")
    uploads.store_upload("customers.csv", [b"customer_id\nc1\n"], datetime.now(UTC))
    database = Path(connection.settings_dict["NAME"])
    written = [tmp_path / "errors.csv", *(tmp_path / "data").rglob("*")]
    if connection.vendor == "sqlite":
        written += [database, *database.parent.glob(f"{database.name}-*")]

    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in written if path.is_file()} == {"0o600"}
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "data", settings.IMPORTS_DIR)} == {
        "0o700"
    }


def test_a_permissive_umask_does_not_expose_files(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "shop"
    script = (
        "import django; django.setup(); from django.db import connection;"
        "connection.cursor().execute('CREATE TABLE a (b)');"
        "from django.core.mail import send_mail; send_mail('a', 'b', None, ['a@shop.example'])"
    )
    previous = os.umask(0)
    try:
        done = settings_with(DATABASE_URL=f"sqlite:///{folder}/shop.sqlite3", script=script)
    finally:
        os.umask(previous)

    assert done.returncode == 0, done.stderr
    found = [folder.parent, folder, *folder.rglob("*")]
    assert {path.name.split(".")[0] for path in found} >= {"shop", "secret_key", "outbox"}
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


# -- Servers


@contextmanager
def another_process(script: str, folder: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A Python process that runs `script` and then waits; the words of the first line it prints."""
    with subprocess.Popen(
        [sys.executable, "-c", script + "\n    input()"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "TMPDIR": folder},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()
        finally:
            process.kill()


@linux_only
@pytest.mark.parametrize("server", ["redis_server", "postgres_server"])
def test_a_server_dies_with_its_parent(server: str) -> None:
    script = (
        f"from segments_project.server.bundled_servers import {server}\n"
        f"with {server}() as server:\n"
        "    print(server.process.pid, flush=True)"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # PostgreSQL may run as another user
        with another_process(script, folder) as (process, [pid]):
            child = psutil.Process(int(pid))
            process.kill()
            process.wait()

            child.wait(timeout=20)


def test_postgresql_starts_in_a_folder_of_its_own() -> None:
    with bundled_servers.postgres_server(options={"work_mem": "7MB"}) as server:
        with psycopg.connect(server.url) as client:
            assert client.execute("SHOW work_mem").fetchone() == ("7MB",)
            assert client.execute("SHOW fsync").fetchone() == ("off",)
            assert client.execute("SHOW server_encoding").fetchone() == ("UTF8",)
            [data] = client.execute("SHOW data_directory").fetchone() or ()
        assert Path(data).exists()

    assert server.process.poll() == 0
    assert not Path(data).parent.exists()


def test_redis_starts_empty_and_stops(tmp_path: Path) -> None:
    with bundled_servers.redis_server(tmp_path / "redis") as server, Redis.from_url(server.url) as client:
        assert client.dbsize() == 0

    assert server.process.poll() == 0


@pytest.mark.parametrize("depth", [0, 1])
def test_redis_is_reachable_only_by_its_owner(tmp_path: Path, depth: int) -> None:
    """Also where the folder's path is too long for a socket."""
    folder = tmp_path / ("x" * 100 * depth) / "redis"
    with bundled_servers.redis_server(folder) as server:
        path = Path(urlsplit(server.url).path)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert psutil.Process(server.process.pid).net_connections("inet") == []  # no port at all
        for number in (0, 63):
            with Redis.from_url(redis_url_with_database(server.url, number)) as client:
                client.set("number", number)
            with app.connection_for_write(
                celery_broker_url(redis_url_with_database(server.url, number))
            ) as broker:
                asked: Any = broker.default_channel
                assert asked.client.get("number") == str(number).encode()

    assert not path.parent.exists()


def test_redis_is_taken_from_path_or_else_from_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)

    with bundled_servers.redis_server() as server, Redis.from_url(server.url) as client:
        assert client.info("server")["server_name"] == "valkey"


@pytest.mark.parametrize("value", [None, True, 7, -1.5, "Zoë", [1, {"a": None}], {"rule": "{}"}])
def test_the_cache_holds_json(value: object) -> None:
    cache.set("value", value, 10)

    assert cache.get("value", "nothing") == value
    with Redis.from_url(settings.REDIS_URL) as client:
        assert json.loads(client.get(cache.make_key("value"))) == value


def test_a_pickle_in_the_cache_is_never_run(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    with Redis.from_url(settings.REDIS_URL) as client:
        client.set(cache.make_key("value"), pickle.dumps(Attack()))

    assert cache.get("value") is None
    assert not (tmp_path / "ran").exists()
    with pytest.raises(TypeError):
        cache.set("value", Attack(), 10)
    cache.set("count", 1, 10)
    assert cache.incr("count") == 2


def test_a_server_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(bundled_servers.ServerError, match="no_such_setting"),
        bundled_servers.postgres_server(options={"no_such_setting": "1"}),
    ):
        pass


def test_another_port_is_chosen_if_one_is_taken_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    free = bundled_servers.free_port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(bundled_servers, "free_port", lambda: next(ports, None) or free())

        with bundled_servers.postgres_server() as server, psycopg.connect(server.url) as client:
            assert client.execute("SELECT 1").fetchone() == (1,)


def test_without_redis_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with (
        pytest.raises(bundled_servers.ServerError, match="install valkey-server"),
        bundled_servers.redis_server(),
    ):
        pass


# -- Tasks and processes


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_runs_a_task(celery_worker: str) -> None:
    app.send_task("celery.accumulate", [1, 2])

    eventually(lambda: tasks_done(celery_worker) == {"celery.accumulate": 1})


def tasks_done(worker: str) -> dict[str, int]:
    """How often the worker did which task, by its own account."""
    answer: dict[str, Any] = app.control.inspect([worker], timeout=2).stats() or {}
    return answer[worker]["total"] if worker in answer else {}


@contextmanager
def serving(
    environment: dict[str, str], log: Path
) -> Iterator[tuple[subprocess.Popen[str], str, list[psutil.Process]]]:
    """`manage.py serve` when it has said that it is ready; its address and all processes below it."""
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", "0"],
            cwd=settings.BASE_DIR,
            env={**environment, "TMPDIR": str(log.parent)},  # for what a killed one leaves behind
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            address = re.search(r"http://\S+/", said)
            assert address, said + log.read_text()
            yield process, address[0], psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()


@pytest.mark.django_db(transaction=True)
def test_serve_runs_tasks_until_stopped_and_leaves_no_process_behind(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with serving(environment, tmp_path / "log") as (process, address, children):
        with urlopen(f"{address}healthz") as response:
            assert json.load(response) == {"database": "ok", "redis": "ok"}
        beat = next(child for child in children if "beat" in child.cmdline())
        links = {beat.environ()[name].rstrip("/") for name in ("PUBLIC_URL", "SHOP_URL")}
        assert links == {address.rstrip("/")}  # what it sends leads to its port
        names = [name for one in app.control.ping(timeout=5, limit=2) or () for name in one]
        assert len(names) == 2
        # The other one counts for staff, and does nothing else.
        [worker] = [name for name in names if not name.startswith("counts-")]
        app.send_task("celery.accumulate", [1, 2])
        eventually(lambda: tasks_done(worker).get("celery.accumulate") == 1)  # beside those of beat

        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=40) == 0
        assert psutil.wait_procs(children, timeout=1)[1] == []
        assert process.stdout is not None
        assert process.stdout.read() == ""  # standard output holds results only
        assert "worker | " in (tmp_path / "log").read_text()


@pytest.mark.django_db(transaction=True)
def test_serve_stops_when_one_of_its_processes_ends(environment: dict[str, str], tmp_path: Path) -> None:
    del environment["REDIS_URL"]  # so that it starts one of its own
    with serving(environment, tmp_path / "log") as (process, _, children):
        assert any(child.name() in ("valkey-server", "redis-server") for child in children)
        [beat] = [child for child in children if "beat" in child.cmdline()]

        beat.kill()

        assert process.wait(timeout=40) == 1
        assert psutil.wait_procs(children, timeout=1)[1] == []
        assert "beat ended with status -9" in (tmp_path / "log").read_text()


@linux_only
@pytest.mark.django_db(transaction=True)
def test_no_process_survives_a_killed_serve(environment: dict[str, str], tmp_path: Path) -> None:
    with serving(environment, tmp_path / "log") as (process, _, children):
        process.kill()

        assert psutil.wait_procs(children, timeout=30)[1] == []


@pytest.mark.django_db
def test_serve_rejects_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CommandError, match=f"port {port} is in use: choose another one with --port"):
            call_command("serve", port=port)


@pytest.mark.django_db
@pytest.mark.parametrize("port", [-1, 65536])
def test_serve_rejects_an_invalid_port(port: int) -> None:
    with pytest.raises(CommandError, match="must be between 0 and 65535"):
        call_command("serve", port=port)


def test_serve_rejects_a_database_that_is_not_migrated(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "run `python manage.py migrate` first" in done.stderr


# -- Modules

EACH_MODULE_FIRST = """
import importlib, os, sys, traceback
from pathlib import Path
import django

django.setup()
paths = [path for top in sys.argv[1:] for path in sorted(Path(top).rglob("*.py"))]
for name in (".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths):
    if name in sys.modules:
        continue
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    try:
        importlib.import_module(name)
        print("imported", name)
    except Exception:
        print("failed", name, traceback.format_exc(limit=-1))
    finally:
        sys.stdout.flush()
        os._exit(0)
"""


def test_every_module_can_be_imported_first() -> None:
    """Django runs its checks in an order that differs from start to start, so any module may come first."""
    tops = ["core", "customers", "segments", "campaigns", "segments_project"]
    script = f"import sys; sys.argv[1:] = {tops}\n{EACH_MODULE_FIRST}"
    outcome = settings_with(script, DATABASE_URL="sqlite://:memory:", SECRET_KEY="for imports only")
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.count("imported ") > 50, "most modules are not imported by the start alone"
    assert "failed " not in outcome.stdout
