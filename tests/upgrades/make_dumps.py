"""Write the dumps of this version, for the tests of later ones: ``python -m tests.upgrades.make_dumps 0.3.0``."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segments_project.server.bundled_servers import _postgres_programs, postgres_server, redis_server

from .databases import DUMPS, SECRET_KEY, dump, dump_path

CUSTOMERS = 100
SCRIPT = f"from tests.support import furnished_shop; furnished_shop.make_furnished_shop({CUSTOMERS})"


@contextmanager
def database_urls() -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder, postgres_server() as server:
        yield [f"sqlite:///{Path(folder) / 'dumped.sqlite3'}", server.url]


def main(version: str) -> None:
    DUMPS.mkdir(exist_ok=True)
    with redis_server() as redis, database_urls() as urls:
        for url in urls:
            environment = {
                **os.environ,
                "DATABASE_URL": url,
                "REDIS_URL": redis.url,
                "SECRET_KEY": SECRET_KEY,
                "LOG_LEVEL": "WARNING",
            }
            for arguments in (["migrate", "-v0"], ["shell", "-v0", "--command", SCRIPT]):
                subprocess.run(
                    [sys.executable, "manage.py", *arguments],
                    env=environment,
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
            dump(url, dump_path(version, url), _postgres_programs() / "pg_dump")


if __name__ == "__main__":
    main(sys.argv[1])
