"""A real mail server for tests. It keeps what arrives, and refuses recipients or messages as the test says."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

YES = "250 OK"

logging.getLogger("mail.log").setLevel(logging.WARNING)  # each command is a line otherwise


class MailServer:
    """What arrived, in order. ``answer`` gives the answer to a recipient, ``took`` the one to the whole message."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.taken: list[bytes] = []
        self.connections = 0
        self.answer: Callable[[str], str] = lambda address: YES
        self.took: Callable[[bytes], str] = lambda message: YES

    @property
    def messages(self) -> list[EmailMessage]:
        """What arrived, read."""
        return [message_from_bytes(one, policy=policy.default) for one in self.taken]

    def of(self, *headers: str) -> list[tuple[str, ...]]:
        """Headers of what arrived."""
        return [tuple(str(one[name]) for name in headers) for one in self.messages]


class Handler:
    """Answers aiosmtpd; with each connection it looks a handler all over, so what is slow to read stays apart."""

    def __init__(self, mail_server: MailServer) -> None:
        self.mail_server = mail_server

    async def handle_EHLO(  # noqa: N802 — names that the library gives
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.mail_server.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.mail_server.answer(address)
        if answer == YES:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        answer = self.mail_server.took(envelope.content)
        if answer == YES:
            self.mail_server.taken.append(envelope.content)
        return answer


@contextmanager
def mail_server(*, knows_utf8: bool = False) -> Iterator[MailServer]:
    """Run one on a free port of the loopback, in a thread; it may know SMTPUTF8."""
    listening = socket.create_server(("127.0.0.1", 0))
    mail_server = MailServer(f"smtp://127.0.0.1:{listening.getsockname()[1]}")
    loop, is_ready = asyncio.new_event_loop(), threading.Event()

    def serve() -> None:  # all of it in a thread of its own: a browser's loop may run in this one
        server = loop.run_until_complete(
            loop.create_server(
                lambda: SMTP(
                    Handler(mail_server), hostname="localhost", loop=loop, enable_SMTPUTF8=knows_utf8
                ),
                sock=listening,
            )
        )
        is_ready.set()
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    is_ready.wait()
    try:
        yield mail_server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
