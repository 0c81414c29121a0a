"""Databases of earlier versions: dumped with the data of a shop, and restored for tests."""

import gzip
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg.sql import SQL

DUMPS = Path(__file__).parent / "dumps"
SECRET_KEY = "the key that the dumps of earlier versions are encrypted with"
SERVER_SETTINGS = re.compile(r"^(SET |SELECT pg_catalog\.set_config|\\|--)")


def is_sqlite(url: str) -> bool:
    return urlsplit(url).scheme == "sqlite"


def dump_path(version: str, url: str) -> Path:
    return DUMPS / f"{version}.{'sqlite' if is_sqlite(url) else 'postgresql'}.sql.gz"


@contextmanager
def empty_database(server_url: str, folder: Path) -> Iterator[str]:
    """Create a database beside another one, or a file of SQLite in the folder. Yield its URL, and delete it."""
    name = f"upgrade_{uuid4().hex}"
    if is_sqlite(server_url):
        yield f"sqlite:///{folder / name}"
        return
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server_url, autocommit=True) as server:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def restore(dump: Path, url: str) -> None:
    """Run the statements of a dump in an empty database."""
    text = gzip.decompress(dump.read_bytes()).decode()
    if is_sqlite(url):
        file = sqlite3.connect(urlsplit(url).path)
        file.executescript(text)
        file.close()
        return
    # Settings of the server that wrote the dump, which another version may not know.
    statements = "\n".join(line for line in text.splitlines() if not SERVER_SETTINGS.match(line))
    with psycopg.connect(url) as database:
        # Rows come in the order of the tables, so that foreign keys hold at the end only.
        database.execute("SET session_replication_role = replica")
        database.execute("SET search_path = public")
        database.execute(SQL(statements))


def dump(url: str, path: Path, pg_dump: Path | None = None) -> None:
    """Write a database as compressed statements."""
    if is_sqlite(url):
        with sqlite3.connect(urlsplit(url).path) as database:
            text = "\n".join(database.iterdump())
    else:
        command = [str(pg_dump), "--no-owner", "--no-privileges", "--inserts", "--rows-per-insert=500", url]
        text = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
