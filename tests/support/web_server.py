"""A real web server on the database of a test, to be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from django.conf import settings

from segments_project.server.bundled_servers import free_port, signal_on_parent_death
from tests.conftest import eventually


class Web:
    """gunicorn on one port."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.environment, self.log, self.port = environment, log, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        server = "--config python:segments_project.server.gunicorn_config --workers 1"
        command = f"gunicorn {server} --bind 127.0.0.1:{self.port} segments_project.wsgi"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command.split()],
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=signal_on_parent_death(9),
            )
        eventually(self._answers, within=60)

    def kill(self) -> None:
        """End it with its workers, as a power cut would."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        eventually(lambda: not self._answers(), within=30)

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None or self.process.returncode == -9, self.log.read_text()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("OPTIONS", "/v1/batch")
            return connection.getresponse().status == 204
        except (HTTPException, OSError):
            return False
        finally:
            connection.close()


@contextmanager
def running(environment: Mapping[str, str], log: Path) -> Iterator[Web]:
    """Run a web server until the end of the block."""
    web = Web(environment, log)
    try:
        web.start()
        yield web
    finally:
        if web.process and web.process.poll() is None:
            web.kill()
