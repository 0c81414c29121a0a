"""Statements that a PostgreSQL distributed by customer cannot run, or runs badly, are found, and no others."""

from __future__ import annotations

import pytest
from django.db import connection

from core.db import execution
from tests.support.statement_recorder import numbered_placeholders, record_statements
from tests.support.statement_rules import Rule, Tables, find_violations

COLUMNS = {
    "customer": ("id", "customer_id", "email", "merged_into_id", "attributes"),
    "orders": ("id", "customer_id", "order_id", "status", "placed_at"),
    "lines": ("id", "customer_id", "order_id", "key", "quantity"),
    "facts": ("customer_id", "newest_at"),
    "queue": ("id", "customer_id"),
    "identity": ("id", "customer_id", "kind", "value"),
    "staged": ("line", "order_id", "customer", "record"),
}
TABLES = Tables(
    {"customer": "id", **dict.fromkeys(("orders", "lines", "facts", "queue"), "customer_id")},
    COLUMNS.get,
)
THEIR_LINES = "SELECT 1 FROM lines l WHERE l.order_id = o.id"


def broken_rules(statement: str, *, one_customer: bool = False) -> set[Rule]:
    return {one.rule for one in find_violations(statement, TABLES, one_customer=one_customer)}


ALLOWED = [
    # Gather, compute, write.
    "INSERT INTO staged (record) SELECT id FROM orders WHERE order_id IN (SELECT order_id FROM staged)",
    "UPDATE orders SET status = 'paid' WHERE customer_id IN (SELECT customer FROM staged)",
    "DELETE FROM orders WHERE (customer_id, order_id) IN (SELECT customer, order_id FROM staged)",
    "SELECT id FROM orders WHERE status = '' OR id NOT IN (SELECT record FROM staged WHERE line > 1)",
    "INSERT INTO orders (customer_id, order_id) SELECT customer, order_id FROM staged s JOIN identity i USING (line)",
    "INSERT INTO staged SELECT customer_id FROM orders UNION SELECT customer FROM staged",
    "UPDATE staged SET record = (SELECT i.id FROM identity i WHERE i.value = staged.order_id)",
    "SELECT 1 FROM orders WHERE placed_at > (SELECT max(line) FROM staged)",
    "SELECT count(*), EXISTS (SELECT 1 FROM orders LIMIT 1) FROM staged",
    "UPDATE staged SET line = 1 WHERE customer IN (SELECT c.id FROM customer c"
    " LEFT JOIN facts f ON f.customer_id = c.id"
    " LEFT JOIN (SELECT * FROM orders WHERE customer_id IN (SELECT customer FROM staged)) o ON o.customer_id = c.id"
    " WHERE c.id IN (SELECT customer FROM staged))",
    # A CTE or a sub-select hides a table of the same name.
    "WITH orders AS (SELECT 1 AS id) SELECT * FROM orders JOIN staged s ON s.record = orders.id",
    "WITH moved AS (DELETE FROM queue RETURNING customer_id) INSERT INTO staged (customer) SELECT * FROM moved",
    # Joined by the customer's key.
    "SELECT 1 FROM orders o JOIN lines l ON l.order_id = o.id AND l.customer_id = o.customer_id",
    "SELECT 1 FROM orders JOIN lines USING (customer_id, order_id)",
    "SELECT 1 FROM customer c, orders o, lines l WHERE c.id = o.customer_id AND l.customer_id = c.id",
    "SELECT 1 FROM orders o JOIN lines l ON (l.customer_id, l.order_id) = (o.customer_id, o.id)",
    "SELECT 1 FROM orders o JOIN lines l ON l.order_id = o.id WHERE o.customer_id = $1 AND l.customer_id = $1",
    "SELECT 1 FROM customer c LEFT JOIN facts f ON f.customer_id = c.id AND f.newest_at > now()",
    "SELECT 1 FROM customer c FULL JOIN facts f ON f.customer_id = c.id",
    "SELECT 1 FROM customer c LEFT JOIN (SELECT customer_id AS who, count(*) FROM orders GROUP BY 1) n ON n.who = c.id",
    "SELECT 1 FROM customer c JOIN (SELECT customer_id FROM orders UNION ALL SELECT customer_id FROM lines) u"
    " ON u.customer_id = c.id",
    "SELECT 1 FROM customer c JOIN LATERAL (SELECT 1 FROM orders o WHERE o.customer_id = c.id) x ON true",
    "SELECT 1 FROM customer WHERE id IN (SELECT customer_id FROM orders WHERE status = 'paid')",
    "SELECT 1 FROM customer c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND EXISTS"
    f" ({THEIR_LINES} AND l.customer_id = c.id))",
    "UPDATE facts f SET newest_at = o.placed_at FROM orders o WHERE o.customer_id = f.customer_id",
    # An unqualified name is a column of the innermost table that has it: here, of `orders` and not of `customer`.
    "SELECT (SELECT max(placed_at) FROM orders WHERE orders.customer_id = id_of.k) FROM"
    " (SELECT id AS k FROM customer) AS id_of",
    # Evaluated with the statement around it.
    "WITH o AS (SELECT * FROM orders) SELECT 1 FROM o JOIN lines l USING (customer_id)",
    "WITH o AS NOT MATERIALIZED (SELECT * FROM orders) SELECT 1 FROM o JOIN o AS p USING (customer_id)",
    "WITH s AS MATERIALIZED (SELECT * FROM staged) SELECT 1 FROM s JOIN s AS t USING (line)",
    "WITH u AS (SELECT customer_id AS k FROM orders UNION ALL SELECT customer_id FROM lines) SELECT k FROM u",
    "WITH u (k) AS (SELECT customer_id FROM orders) SELECT k FROM u",
    "SELECT 1 FROM (SELECT * FROM orders LIMIT 100) AS o",
    "SELECT id FROM orders LIMIT 4611686018427387904",
    "SELECT EXISTS (SELECT 1 FROM queue LIMIT 1)",
    "SELECT EXISTS (SELECT 1 FROM staged)",
    "SELECT EXISTS (SELECT 1 FROM queue WHERE customer_id = 7)",
    # Locks.
    "SELECT 1 FROM customer WHERE id = $1 FOR UPDATE",
    "SELECT 1 FROM customer WHERE id IN (7) FOR NO KEY UPDATE",
    "SELECT 1 FROM identity i WHERE i.kind = '' FOR UPDATE",
    "SELECT 1 FROM customer c JOIN orders o ON o.customer_id = c.id WHERE c.id = 7 FOR UPDATE OF o",
    # Conflicts, changes of keys, several tables.
    "INSERT INTO orders (customer_id, order_id) VALUES (1, '') ON CONFLICT (customer_id, order_id) DO NOTHING",
    "INSERT INTO orders (customer_id) VALUES (1) ON CONFLICT DO NOTHING",
    "INSERT INTO identity (value) VALUES ('') ON CONFLICT (kind, value) DO UPDATE SET customer_id = 1",
    "UPDATE customer SET customer_id = 'new' WHERE id = 1",
    "UPDATE staged SET customer = random()",
    "UPDATE orders SET placed_at = now() WHERE id = 1",
    "UPDATE orders SET status = concat('a', $1) WHERE id = 1",
    "INSERT INTO orders (customer_id, placed_at) VALUES (1, now()) ON CONFLICT DO NOTHING",
    "INSERT INTO queue (id, customer_id) VALUES (nextval('ids'), 1)",
    "TRUNCATE orders",
    "TRUNCATE staged, identity",
    "LOCK TABLE orders IN SHARE MODE",
]

FORBIDDEN = [
    (
        Rule.GATHER,
        [
            "SELECT 1 FROM orders o JOIN staged s ON s.record = o.id",
            "SELECT 1 FROM orders o, staged s",
            "SELECT 1 FROM orders o LEFT JOIN identity i ON i.customer_id = o.customer_id",
            "INSERT INTO orders (order_id) SELECT s.order_id FROM staged s LEFT JOIN orders o ON o.id = s.record",
            "SELECT 1 FROM orders o JOIN (SELECT record FROM staged) AS s ON s.record = o.id",
            "WITH s AS (SELECT record FROM staged) SELECT 1 FROM orders o JOIN s ON s.record = o.id",
            "WITH moved AS (DELETE FROM queue RETURNING *) SELECT 1 FROM moved JOIN facts USING (customer_id)",
            "UPDATE staged SET record = (SELECT o.id FROM orders o WHERE o.order_id = staged.order_id)",
            "UPDATE staged SET record = (SELECT id FROM orders WHERE status = line)",
            "UPDATE orders SET status = (SELECT s.order_id FROM staged s WHERE s.record = orders.id)",
            "UPDATE orders SET status = s.order_id FROM staged s WHERE s.record = orders.id",
            "DELETE FROM staged s USING customer c WHERE c.id = s.customer AND c.merged_into_id <> s.customer",
            "DELETE FROM orders WHERE EXISTS (SELECT 1 FROM staged s WHERE s.record = orders.id)",
            "DELETE FROM staged WHERE customer IN (SELECT id FROM customer)",
            "DELETE FROM staged WHERE customer IN (SELECT customer_id FROM orders WHERE customer_id NOT IN"
            " (SELECT customer FROM staged))",
            "SELECT id IN (SELECT record FROM staged) FROM orders",
            "SELECT 1 FROM orders WHERE id + 1 IN (SELECT record FROM staged)",
            "SELECT 1 FROM orders WHERE id < ANY (SELECT record FROM staged)",
            "SELECT 1 FROM identity i JOIN customer c ON c.id = i.customer_id",
        ],
    ),
    (
        Rule.JOIN_BY_KEY,
        [
            "SELECT 1 FROM orders o JOIN lines l ON l.order_id = o.id",
            "SELECT 1 FROM orders o JOIN lines l ON l.order_id = o.id OR l.customer_id = o.customer_id",
            "SELECT 1 FROM orders o, lines l WHERE o.customer_id = $1 AND l.customer_id = $2",
            "SELECT 1 FROM customer c JOIN orders o ON o.customer_id = c.customer_id",
            "SELECT 1 FROM customer c JOIN customer v ON v.merged_into_id = c.id",
            "SELECT 1 FROM customer c JOIN (SELECT customer_id + 0 AS who FROM orders) o ON o.who = c.id",
            "SELECT 1 FROM customer c JOIN (SELECT customer_id FROM orders UNION ALL SELECT quantity FROM lines) u"
            " ON u.customer_id = c.id",
            f"SELECT 1 FROM orders o WHERE EXISTS ({THEIR_LINES})",
            # Two conditions that hold inside two EXISTS join nothing outside of them.
            "SELECT 1 FROM orders o, lines p WHERE EXISTS (SELECT 1 FROM facts f WHERE f.customer_id = o.customer_id"
            " AND f.customer_id = p.customer_id)",
            "SELECT (SELECT count(*) FROM lines l WHERE l.order_id = o.id) FROM orders o",
            "SELECT 1 FROM lines WHERE order_id IN (SELECT id FROM orders WHERE status = 'paid')",
            "SELECT (SELECT count(*) FROM orders o WHERE o.status = s.status)"
            " FROM (VALUES ('paid')) AS s (status)",
            # `quantity` is no column of `orders`, so the sub-select refers to the outer query.
            "SELECT 1 FROM lines WHERE EXISTS (SELECT 1 FROM orders WHERE status = quantity)",
        ],
    ),
    (
        Rule.PUSH_DOWN,
        [
            "WITH o AS MATERIALIZED (SELECT * FROM orders) SELECT 1 FROM o",
            "WITH o AS (SELECT * FROM orders) SELECT 1 FROM o JOIN o AS p USING (customer_id)",
            "WITH o AS (SELECT * FROM orders), p AS (SELECT * FROM o) SELECT 1 FROM o JOIN p USING (customer_id)",
            "SELECT 1 FROM (SELECT * FROM orders LIMIT 4611686018427387904) AS o JOIN facts USING (customer_id)",
            "SELECT EXISTS (SELECT 1 FROM queue)",
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM queue WHERE id > 5 LIMIT 2)",
            "WITH u (k) AS (SELECT customer_id FROM orders UNION ALL SELECT customer_id FROM lines) SELECT k FROM u",
        ],
    ),
    (
        Rule.LOCK_ONE,
        [
            "SELECT 1 FROM customer WHERE id IN (1, 2) FOR UPDATE",
            "SELECT 1 FROM customer WHERE id IN (SELECT customer FROM staged) ORDER BY id FOR UPDATE",
            "SELECT 1 FROM customer WHERE customer_id = 'c1' FOR UPDATE",
            "SELECT 1 FROM customer WHERE id = 1 OR id = 2 FOR SHARE",
        ],
    ),
    (
        Rule.CONFLICT_KEY,
        [
            "INSERT INTO orders (order_id) VALUES ('') ON CONFLICT (order_id) DO NOTHING",
            "INSERT INTO customer (customer_id) VALUES ('') ON CONFLICT (customer_id) DO UPDATE SET email = ''",
            "INSERT INTO orders (order_id) VALUES ('') ON CONFLICT ON CONSTRAINT order_once DO NOTHING",
        ],
    ),
    (
        Rule.KEEP_KEY,
        [
            "UPDATE orders SET customer_id = 5 WHERE customer_id = 4",
            "INSERT INTO facts (customer_id) VALUES (1) ON CONFLICT (customer_id) DO UPDATE SET customer_id = 2",
        ],
    ),
    (
        Rule.IMMUTABLE,
        [
            "UPDATE orders SET placed_at = clock_timestamp()",
            "UPDATE orders SET status = '' WHERE random() < 0.5",
            "UPDATE orders SET status = concat(status, order_id) WHERE id = 1",
            "DELETE FROM orders WHERE to_char(placed_at, 'YYYY') = '2026'",
            "INSERT INTO facts (customer_id) VALUES (1) ON CONFLICT (customer_id) DO UPDATE SET newest_at = now()",
            "INSERT INTO facts (customer_id) VALUES (1) ON CONFLICT (customer_id)"
            " DO UPDATE SET newest_at = CURRENT_TIMESTAMP",
        ],
    ),
    (Rule.ONE_TABLE, ["TRUNCATE orders, lines", "LOCK TABLE identity, orders IN SHARE MODE"]),
]  # fmt: skip


@pytest.mark.parametrize("statement", ALLOWED)
def test_what_each_shard_can_do_alone_is_allowed(statement: str) -> None:
    assert find_violations(statement, TABLES) == []


@pytest.mark.parametrize(
    ("rule", "statement"), [(rule, statement) for rule, statements in FORBIDDEN for statement in statements]
)
def test_each_forbidden_shape_breaks_its_rule_alone(rule: Rule, statement: str) -> None:
    assert broken_rules(statement) == {rule}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM orders WHERE customer_id = $1",
        "SELECT 1 FROM customer c LEFT JOIN facts f ON f.customer_id = c.id WHERE c.id = 7",
        "SELECT 1 FROM customer c WHERE c.id = 7 AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
        "SELECT 1 FROM (SELECT customer_id k FROM orders UNION ALL SELECT customer_id FROM lines) u WHERE k = 7",
        "WITH o AS (SELECT * FROM orders) SELECT 1 FROM o WHERE customer_id = 7::bigint",
        "SELECT 1 FROM facts WHERE customer_id IN (SELECT id FROM customer WHERE id = 7)",
        "SELECT 1 FROM customer c WHERE c.id = 7 AND EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id"
        " AND NOT EXISTS (SELECT 1 FROM lines l WHERE l.customer_id = o.customer_id))",
        "SELECT (SELECT count(*) FROM orders WHERE customer_id = 7) FROM customer WHERE id = 7",
        "INSERT INTO orders (customer_id) VALUES (7)",
        "UPDATE orders SET status = '' WHERE customer_id = 7 AND id = 8",
        "SELECT 1 FROM identity",
    ],
)
def test_a_question_about_one_customer_holds_the_key_in_each_leaf(statement: str) -> None:
    assert broken_rules(statement, one_customer=True) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM orders WHERE order_id = $1",
        "SELECT 1 FROM orders WHERE customer_id = 7 OR status = ''",
        "SELECT 1 FROM orders WHERE customer_id IN (7, 8)",
        "SELECT 1 FROM customer c LEFT JOIN facts f ON f.customer_id = c.id AND c.id = 7",
        "SELECT 1 FROM customer WHERE id = 7 UNION ALL SELECT customer_id FROM orders",
        "SELECT 1 FROM orders WHERE customer_id IN (SELECT 7)",
        "SELECT 1 FROM customer WHERE id = 7 AND EXISTS (SELECT 1 FROM orders LIMIT 1)",
        "SELECT (SELECT count(*) FROM orders) FROM customer WHERE id = 7",
        "SELECT (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customer c WHERE c.id = 7",
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id) THEN 1 END FROM customer c"
        " WHERE c.id = 7",
        "SELECT 1 FROM customer c WHERE c.id = 7 AND"
        " (c.city = '' OR EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id))",
        "DELETE FROM queue",
    ],
)
def test_a_leaf_without_the_key_asks_every_shard(statement: str) -> None:
    assert broken_rules(statement, one_customer=True) == {Rule.ONE_CUSTOMER}
    assert broken_rules(statement) == set()


def test_the_reason_names_the_tables() -> None:
    [violation] = find_violations("SELECT 1 FROM orders o JOIN staged s ON s.record = o.id", TABLES)

    assert violation.reason == "orders joined with staged"


def test_equal_parameters_get_equal_numbers() -> None:
    assert numbered_placeholders("a = %s AND b = %s AND c = %s", (1, 2, 1)) == "a = $1 AND b = $2 AND c = $1"
    assert numbered_placeholders("a = %(x)s AND b LIKE '5 %%'", {"x": 1}) == "a = $1 AND b LIKE '5 %'"
    assert numbered_placeholders("a = %s AND b = %s", (1, "1")) == "a = $1 AND b = $2"
    assert numbered_placeholders("a LIKE '5 %'", None) == "a LIKE '5 %'"


def run_as_ours(statement: str) -> None:
    """Run a statement as a function of ``customers.example`` would."""
    ours = {"__name__": "customers.example", "execution": execution}
    exec("def look_up(statement): execution.execute(statement)", ours)
    ours["look_up"](statement)  # type: ignore[operator]


@pytest.fixture
def on_postgresql(db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("statements are recorded on PostgreSQL")


def test_a_forbidden_statement_is_named_with_its_place(on_postgresql) -> None:
    with pytest.raises(AssertionError) as error, record_statements():
        run_as_ours("SELECT 1 FROM customers_order, customers_event")

    assert str(error.value).splitlines()[2:] == [
        "customers.example:look_up",
        f"  {Rule.JOIN_BY_KEY}:",
        "  customers_event joined with customers_order, not by the customer's key",
        "  SELECT 1 FROM customers_order, customers_event",
    ]


def test_the_columns_of_temporary_tables_are_known(on_postgresql) -> None:
    execution.execute("CREATE TEMPORARY TABLE some_ids (id bigint)")

    with record_statements():
        run_as_ours("SELECT 1 FROM customers_order WHERE id IN (SELECT id FROM some_ids)")
    with pytest.raises(AssertionError, match="looks up some_ids"), record_statements():
        # `order_id` is a column of the outer table.
        run_as_ours("SELECT 1 FROM customers_order WHERE EXISTS (SELECT 1 FROM some_ids WHERE order_id = '')")


def test_a_block_may_be_about_one_customer(on_postgresql) -> None:
    with record_statements() as recorder:
        run_as_ours("SELECT 1 FROM customers_order")
        with recorder.one_customer():
            run_as_ours("SELECT 1 FROM customers_order WHERE customer_id = 7")

    with (
        pytest.raises(AssertionError, match="not restricted"),
        record_statements() as recorder,
        recorder.one_customer(),
    ):
        run_as_ours("SELECT 1 FROM customers_order")


def test_statements_of_tests_are_left_alone(on_postgresql) -> None:
    with record_statements() as recorder:
        execution.fetch_all("SELECT 1 FROM customers_order, customers_event")

    assert not recorder.places
