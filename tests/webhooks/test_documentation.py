"""The receiver in docs/webhooks.md is a program that works."""

import re
import socket
import subprocess
import sys

import pytest
from django.conf import settings

from segments.models import Message
from segments.webhooks import delivery, outbox
from segments_project.server.bundled_servers import free_port, signal_on_parent_death
from tests.conftest import eventually

from .conftest import enter, leave, subscribe

pytestmark = pytest.mark.django_db


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_documented_receiver_processes_each_signed_message_once(vips, loopback, tmp_path) -> None:
    told = (settings.BASE_DIR / "docs" / "webhooks.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", told, re.DOTALL)
    port = free_port()
    endpoint = subscribe(f"http://127.0.0.1:{port}/hooks")
    stranger = subscribe(f"http://127.0.0.1:{port}/hooks", name="Of another secret")
    file = tmp_path / "receiver.py"
    file.write_text(program.replace("whsec_YOUR_SECRET", endpoint.secret).replace("8001", str(port)))
    with subprocess.Popen(
        [sys.executable, file],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=signal_on_parent_death(9),
    ) as receiver:
        try:
            eventually(lambda: answers(port) or receiver.poll() is not None)
            enter(vips, "c1")
            leave(vips, "c1")
            delivery.deliver_due()
            outbox.replay_changes(endpoint, 1)
            delivery.deliver_due()
        finally:
            receiver.kill()
        assert receiver.stdout
        assert receiver.stdout.read().splitlines() == ["c1 entered vips", "c1 left vips"]
    delivered = Message.objects.filter(state="delivered")
    assert delivered.filter(endpoint=endpoint).count() == 4
    assert not delivered.filter(endpoint=stranger).exists()
