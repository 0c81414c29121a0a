"""The connection to PostgreSQL stays open between requests, and is replaced when the server has closed it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import close_old_connections, connection

from core.db import backends, execution

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[psycopg.Connection[Any]]:
    """Another connection to the same database."""
    if not backends.is_postgresql():
        pytest.skip("only PostgreSQL is a server")
    connection.close()  # opened anew, as by the first request of a process
    parameters = connection.get_connection_params()
    named = {name: parameters[name] for name in ("dbname", "user", "host", "port") if name in parameters}
    with psycopg.connect(**named, autocommit=True) as other:
        yield other


def process_of_next_request() -> int:
    """The server's process that answers the first statement of a request."""
    close_old_connections()  # as at the start of each request
    [(process,)] = execution.fetch_all("SELECT pg_backend_pid()")
    return int(process)


def test_a_request_after_the_server_ended_the_connection_gets_another_one(server) -> None:
    before = process_of_next_request()
    assert process_of_next_request() == before

    server.execute("SELECT pg_terminate_backend(%s, 10000)", [before])

    after = process_of_next_request()
    assert after != before
    assert process_of_next_request() == after


def test_a_request_soon_after_another_sends_no_statement_to_check_the_connection(server) -> None:
    process = process_of_next_request()
    execution.execute("SELECT 'the last statement of a request'")

    close_old_connections()
    connection.ensure_connection()
    connection.close_if_health_check_failed()

    [(last,)] = server.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [process]).fetchall()
    assert last == "SELECT 'the last statement of a request'"


def test_a_connection_is_asked_after_an_error(server) -> None:
    process = process_of_next_request()
    with pytest.raises(Exception, match="division by zero"):
        execution.execute("SELECT 1 / 0")

    assert process_of_next_request() == process
