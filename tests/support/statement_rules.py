"""The shapes of statements that a PostgreSQL distributed by customer cannot run, or runs badly.

A statement is parsed by PostgreSQL's own parser, and its names are resolved as PostgreSQL resolves them
(``sql_scopes``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from typing import Any

from pglast import ast, enums, parse_sql

from . import sql_scopes
from .sql_scopes import Branch, Column, Cte, Equalities, Item, Occurrence, Query

LIMIT_OF_NOTHING = 2**31  # and above: a LIMIT that removes no row
VOLATILE = frozenset(
    ("clock_timestamp", "gen_random_uuid", "nextval", "random", "random_normal", "setval", "timeofday")
)
# PostgreSQL has only STABLE variants of these. The first depend on nothing but the transaction.
TRANSACTION_TIMES = frozenset(("now", "transaction_timestamp", "statement_timestamp"))
STABLE = frozenset(
    (
        *("concat", "concat_ws", "format", "to_char", "to_json", "to_jsonb"),
        *("json_build_array", "json_build_object", "jsonb_build_array", "jsonb_build_object"),
    )
)

Ctes = Mapping[str, Cte]


class Rule(StrEnum):
    """What a statement must keep to."""

    GATHER = "a temporary or coordinator table meets a customers' table only as `key IN (SELECT key FROM it)`"
    JOIN_BY_KEY = "customers' tables are joined by the customer's key"
    PUSH_DOWN = "no sub-query over customers' tables is kept apart from the statement around it"
    LOCK_ONE = "FOR UPDATE names one customer"
    ONE_CUSTOMER = "each table in a question about one customer is restricted to that customer"
    CONFLICT_KEY = "the target of ON CONFLICT contains the customer's key"
    KEEP_KEY = "no UPDATE sets the customer's key"
    IMMUTABLE = "UPDATE and DELETE call only functions that have the same result on each shard"
    ONE_TABLE = "TRUNCATE and LOCK TABLE name one table"


@dataclass(frozen=True)
class Violation:
    rule: Rule
    reason: str


@dataclass(frozen=True)
class Tables:
    """Where tables are. Each that is not distributed is temporary or on the coordinator.

    ``distributed`` names the key of each customers' table. ``columns`` returns the columns of a table, or None if they
    are not known; then a column that is written without its table belongs to the innermost one.
    """

    distributed: Mapping[str, str]
    columns: Callable[[str], Collection[str] | None] = lambda table: None


def find_violations(statement: str, tables: Tables, *, one_customer: bool = False) -> list[Violation]:
    """Return the rules that a statement violates, each with a reason.

    Placeholders are ``$1``, ``$2``; equal numbers stand for equal values. ``one_customer`` says that the statement
    asks about one customer. Raises ``pglast.parser.ParseError`` if it is not PostgreSQL's SQL.
    """
    check = _Check(tables)
    for raw in parse_sql(statement):
        check.read_statement(raw.stmt)
    if one_customer:
        check.check_one_customer()
    return list(dict.fromkeys(check.found))


class _Check:
    """Reads a statement, its queries from the outermost to the innermost."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.found: list[Violation] = []
        self.occurrences: list[Occurrence] = []

    def violated(self, rule: Rule, reason: str) -> None:
        self.found.append(Violation(rule, reason))

    def read_statement(self, node: Any) -> None:
        match node:
            case ast.SelectStmt() | ast.InsertStmt() | ast.UpdateStmt() | ast.DeleteStmt():
                self.read_query(node, None, {}, Equalities())
            case ast.ExplainStmt() | ast.CreateTableAsStmt() | ast.DeclareCursorStmt() | ast.CopyStmt():
                self.read_statement(node.query)
            case ast.TruncateStmt() | ast.LockStmt():
                theirs = [one.relname for one in node.relations if one.relname in self.tables.distributed]
                if theirs and len(node.relations) > 1:
                    verb = "TRUNCATE" if isinstance(node, ast.TruncateStmt) else "LOCK TABLE"
                    self.violated(Rule.ONE_TABLE, f"{verb} of several tables, with {', '.join(theirs)}")

    def check_one_customer(self) -> None:
        for one in self.occurrences:
            if not one.equalities.names(one.key):
                self.violated(Rule.ONE_CUSTOMER, f"{one.table} is not restricted to one customer")

    def read_query(self, node: Any, around: Query | None, ctes: Ctes, equalities: Equalities) -> Query:
        query = Query(around, equalities)
        if node.withClause is not None:
            ctes = self.read_with(node, query, ctes)
        match node:
            case ast.SelectStmt() if node.op != enums.SetOperation.SETOP_NONE:
                self.read_union(node, query, ctes)
            case ast.SelectStmt():
                self.read_select(node, query, ctes)
            case ast.InsertStmt():
                self.read_insert(node, query, ctes)
            case _:
                self.read_change(node, query, ctes)
        return query

    # -- WITH

    def read_with(self, node: Any, query: Query, ctes: Ctes) -> Ctes:
        known = dict(ctes)
        for cte in node.withClause.ctes:
            if node.withClause.recursive:
                known[cte.ctename] = Cte(None, {})
            known[cte.ctename] = Cte(cte, dict(known))
            if isinstance(cte.ctequery, ast.SelectStmt):  # it is read where it is mentioned
                self.check_cte(node, cte, known[cte.ctename].known)
            else:
                self.read_query(
                    cte.ctequery, query, known[cte.ctename].known, Equalities(query.equalities)
                )  # fmt: skip
        return known

    def check_cte(self, node: Any, cte: Any, ctes: Ctes) -> None:
        tables = self.customers_tables(cte.ctequery, ctes)
        if not tables:
            return
        what = f"WITH {cte.ctename} over {', '.join(tables)}"
        uses = sql_scopes.count_references(node, cte.ctename)
        is_union = cte.ctequery.op != enums.SetOperation.SETOP_NONE
        if cte.ctematerialized == enums.CTEMaterialize.CTEMaterializeAlways:
            self.violated(Rule.PUSH_DOWN, f"{what} is AS MATERIALIZED")
        elif uses > 1 and cte.ctematerialized == enums.CTEMaterialize.CTEMaterializeDefault:
            self.violated(Rule.PUSH_DOWN, f"{what} is used {uses} times")
        if is_union and cte.aliascolnames:
            self.violated(Rule.PUSH_DOWN, f"{what} is a UNION and has a column list")
        if node.withClause.recursive:
            self.violated(Rule.PUSH_DOWN, f"{what} may be recursive")

    def customers_tables(self, node: Any, ctes: Ctes) -> list[str]:
        """Return the customers' tables that a query mentions, also in sub-selects and CTEs."""
        found: dict[str, None] = {}
        for one in sql_scopes.walk(node):
            if not isinstance(one, ast.RangeVar):
                continue
            cte = ctes.get(one.relname) if one.schemaname is None else None
            if cte is not None:
                inner = self.customers_tables(cte.node.ctequery, cte.known) if cte.node else []
                found |= dict.fromkeys(inner)
            elif one.relname in self.tables.distributed:
                found[one.relname] = None
        return list(found)

    # -- FROM

    def read_from(self, node: Any, query: Query, ctes: Ctes) -> list[Item]:
        """Add the tables and sub-selects of a FROM item to a query, and return them."""
        match node:
            case ast.JoinExpr():
                return self.read_join(node, query, ctes)
            case ast.RangeVar():
                item = self.read_table(node, query, ctes)
            case ast.RangeSubselect():
                name = node.alias.aliasname if node.alias else ""
                item = self.read_sub_select(
                    node.subquery, name, query, ctes, is_lateral=bool(node.lateral)
                )  # fmt: skip
                item.rename(node.alias.colnames if node.alias else None)
            case ast.RangeTableSample():
                return self.read_from(node.relation, query, ctes)
            case _:  # a function
                item = Item(node.alias.aliasname if node.alias else "", is_complete=False)
                self.read_expression(node, query, ctes)
        query.items.append(item)
        return [item]

    def read_table(self, node: Any, query: Query, ctes: Ctes) -> Item:
        name = node.alias.aliasname if node.alias else node.relname
        cte = ctes.get(node.relname) if node.schemaname is None else None
        if cte is None:
            item = self.base_table(node, name, query.equalities)
        elif cte.node is None:
            item = Item(name, is_complete=False)
        else:
            changes = not isinstance(cte.node.ctequery, ast.SelectStmt)
            item = self.read_sub_select(cte.node.ctequery, name, query, cte.known, is_lateral=False)
            item.rename(cte.node.aliascolnames)
            if changes:  # the rows that it returned are on the coordinator
                item.customers, item.united, item.local = [], [], {node.relname}
        item.rename(node.alias.colnames if node.alias else None)
        return item

    def base_table(self, node: Any, name: str, equalities: Equalities) -> Item:
        table = node.relname
        columns = self.tables.columns(table)
        item = Item(name, {column: Column() for column in columns or ()}, columns is not None)
        if table in self.tables.distributed:
            key = item.columns.setdefault(self.tables.distributed[table], Column())
            item.customers.append(Occurrence(table, key, equalities))
            self.occurrences += item.customers
        elif not _is_of_catalogue(node):
            item.local.add(table)
        return item

    def read_sub_select(self, node: Any, name: str, query: Query, ctes: Ctes, *, is_lateral: bool) -> Item:
        self.check_limit(node, ctes)
        # The rows of a sub-select satisfy its conditions, so these hold in the query as well.
        inner = self.read_query(node, query if is_lateral else query.around, ctes, query.equalities)
        query.refer_to(inner.outer)
        return inner.as_item(name)

    def check_limit(self, node: Any, ctes: Ctes) -> None:
        limit = sql_scopes.integer(getattr(node, "limitCount", None))
        if limit is not None and limit >= LIMIT_OF_NOTHING and (tables := self.customers_tables(node, ctes)):
            self.violated(Rule.PUSH_DOWN, f"a sub-query over {', '.join(tables)} has LIMIT {limit}")

    def read_join(self, node: Any, query: Query, ctes: Ctes) -> list[Item]:
        left = self.read_from(node.larg, query, ctes)
        right = self.read_from(node.rarg, query, ctes)
        pairs = []
        for name in node.usingClause or ():
            sides = [[one for item in side if (one := item.column(name.sval))] for side in (left, right)]
            pairs += list(zip(*(side[:1] for side in sides), strict=False))
        pairs += query.equal_columns(node.quals)
        query.join_conditions.append(node.quals)
        match node.jointype:
            case enums.JoinType.JOIN_INNER:
                query.equalities.both_ways += pairs
            case enums.JoinType.JOIN_LEFT:
                query.equalities.one_way += _restricting(pairs, right)
            case enums.JoinType.JOIN_RIGHT:
                query.equalities.one_way += _restricting(pairs, left)
            case _:  # a full join restricts neither side
                query.equalities.one_way += [
                    (one, other) for one, other in pairs if one.constant is None and other.constant is None
                ]
        return [*left, *right]

    # -- Queries

    def read_select(self, node: Any, query: Query, ctes: Ctes) -> None:
        if node.valuesLists:
            self.read_expression(node.valuesLists, query, ctes)
            query.output = [(f"column{place}", Column()) for place, _ in enumerate(node.valuesLists[0], 1)]
            return
        for one in node.fromClause or ():
            self.read_from(one, query, ctes)
        self.read_conditions(node.whereClause, query, ctes)
        for one in node.targetList or ():
            query.select(one)
        for part in (
            node.targetList,
            node.havingClause,
            node.windowClause,
            node.limitCount,
            node.limitOffset,
        ):
            self.read_expression(part, query, ctes)
        names = {name for name, _ in query.output}
        for part in (*(node.groupClause or ()), *(node.sortClause or ()), *(node.distinctClause or ())):
            plain = part.node if isinstance(part, ast.SortBy) else part
            if not (
                isinstance(plain, ast.ColumnRef)
                and len(plain.fields) == 1
                and getattr(plain.fields[0], "sval", None) in names
            ):
                self.read_expression(part, query, ctes)
        for clause in node.lockingClause or ():
            self.check_lock(clause, query)

    def read_conditions(self, where: Any, query: Query, ctes: Ctes) -> None:
        """Read WHERE and the ON of all joins: first what they make equal, then the sub-selects in them."""
        query.equalities.both_ways += query.equal_columns(where)
        self.check_joins(query)
        for condition in query.join_conditions:
            self.read_expression(condition, query, ctes, in_condition=True)
        for part in sql_scopes.conjuncts(where):
            if isinstance(part, ast.SubLink) and part.subLinkType == enums.SubLinkType.ANY_SUBLINK:
                query.equalities.both_ways += self.read_in(
                    part, query, ctes, in_condition=True, is_joined=True
                )
            elif exists := _joined_exists(part):
                self.read_inner(exists, query, ctes, is_joined=True)
            else:
                self.read_expression(part, query, ctes, in_condition=True)

    def read_union(self, node: Any, query: Query, ctes: Ctes) -> None:
        parts, union = [], Item("")
        for part in sql_scopes.branches(node):
            inner = self.read_query(part, query.around, ctes, Equalities(query.equalities))
            query.refer_to(inner.outer)
            parts.append(Branch(inner.as_item(), inner.equalities, inner.output))
            union.customers += parts[-1].item.customers
            union.local |= parts[-1].item.local
        for place in range(min(len(part.output) for part in parts)):
            column = Column()
            query.output.append((parts[0].output[place][0], column))
            union.united.append((column, parts, place))
            for branch in parts:  # a condition on the result holds in each branch
                branch.equalities.one_way.append((column, branch.output[place][1]))
        union.columns = dict(query.output)
        query.items.append(union)

    def read_change(self, node: Any, query: Query, ctes: Ctes) -> None:
        """Read an UPDATE or DELETE."""
        target = self.read_table(node.relation, query, {})
        query.items.append(target)
        is_update = isinstance(node, ast.UpdateStmt)
        for one in (node.fromClause if is_update else node.usingClause) or ():
            self.read_from(one, query, ctes)
        self.read_conditions(node.whereClause, query, ctes)
        if is_update:
            self.read_expression(node.targetList, query, ctes)
            if target.customers:
                self.check_keeps_key(node.targetList, node.relation.relname)
        if target.customers:
            parts = (node.targetList if is_update else None, node.whereClause)
            self.check_functions(parts, node.relation.relname)
        self.read_returning(node, query, ctes)

    def read_insert(self, node: Any, query: Query, ctes: Ctes) -> None:
        if node.selectStmt is not None:
            self.read_query(node.selectStmt, query, ctes, Equalities(query.equalities))
        table = node.relation.relname
        name = node.relation.alias.aliasname if node.relation.alias else table
        target = self.base_table(node.relation, name, query.equalities)
        # No stored row is read.
        self.occurrences = [one for one in self.occurrences if one not in target.customers]
        query.items += [target, Item("excluded", is_complete=False)]
        conflict = node.onConflictClause
        if conflict is not None:
            self.read_expression(conflict.targetList, query, ctes)
            self.read_expression(conflict.whereClause, query, ctes, in_condition=True)
            if target.customers:
                self.check_conflict_target(conflict.infer, table)
                self.check_keeps_key(conflict.targetList, table)
                self.check_functions((conflict.targetList, conflict.whereClause), table, on_conflict=True)
        self.read_returning(node, query, ctes)

    def read_returning(self, node: Any, query: Query, ctes: Ctes) -> None:
        clause = node.returningClause
        for one in clause.exprs if clause is not None else ():
            query.select(one)
            self.read_expression(one, query, ctes)

    # -- Expressions

    def read_expression(self, node: Any, query: Query, ctes: Ctes, *, in_condition: bool = False) -> None:
        """Read what an expression refers to, and the sub-selects in it."""
        for one in sql_scopes.walk(node, into_sub_selects=False):
            if isinstance(one, ast.ColumnRef):
                query.resolve(one)
            elif isinstance(one, ast.SubLink) and one.subLinkType == enums.SubLinkType.ANY_SUBLINK:
                self.read_in(one, query, ctes, in_condition=in_condition)
            elif isinstance(one, ast.SubLink):
                self.read_inner(one, query, ctes)

    def read_in(
        self, node: Any, query: Query, ctes: Ctes, *, in_condition: bool, is_joined: bool = False
    ) -> list[tuple[Column, Column]]:
        """Read ``key IN (SELECT …)``. Return what it restricts to a constant or to gathered keys if it holds."""
        self.read_expression(node.testexpr, query, ctes)
        tested = [query.plain(one) for one in sql_scopes.elements(node.testexpr)]
        if node.operName and node.operName[-1].sval != "=":
            tested = []
        inner = self.read_inner(node, query, ctes, tested, in_condition=in_condition, is_joined=is_joined)
        item = inner.as_item()
        is_gathered = bool(item.local) and not item.customers and not inner.outer
        pairs = []
        for one, (_, column) in zip(tested, inner.output, strict=False):
            if one is not None and inner.items and inner.equalities.fixes(column):
                pairs.append((one, Column(constant=("of a sub-select", id(column)))))
            elif one is not None and (is_gathered or (inner.items and inner.equalities.bounds(column))):
                pairs.append((one, Column(is_gathered=True)))
        return pairs

    def read_inner(
        self,
        node: Any,
        query: Query,
        ctes: Ctes,
        tested: Sequence[Column | None] = (),
        *,
        in_condition: bool = False,
        is_joined: bool = False,
    ) -> Query:
        """Read the sub-select of an expression, and check how it and the query around it meet."""
        self.check_limit(node.subselect, ctes)
        inner = self.read_query(
            node.subselect, query, ctes, Equalities(query.equalities, is_apart=not is_joined)
        )
        query.refer_to(inner.outer)
        pairs = [(one, column) for one, (_, column) in zip(tested, inner.output, strict=False) if one]
        inner.equalities.one_way += pairs
        for outer in inner.outer:
            self.check_look_up(inner, outer)
        item = inner.as_item()
        is_exists = node.subLinkType == enums.SubLinkType.EXISTS_SUBLINK
        if item.customers and inner.outer and not any(one.customers or one.local for one in inner.outer):
            self.violated(
                Rule.JOIN_BY_KEY, f"a sub-select looks up {item.customers_tables}, not by the customer's key"
            )
        if not inner.outer and node.subLinkType in (
            enums.SubLinkType.ANY_SUBLINK,
            enums.SubLinkType.ALL_SUBLINK,
        ):
            is_plain = in_condition and bool(tested) and all(tested)
            self.check_set(query, inner, pairs, is_plain=is_plain)
        if is_exists and item.customers and not inner.outer:
            is_one = all(one.equalities.fixes(one.key) for one in item.customers)
            if not is_one and sql_scopes.integer(node.subselect.limitCount) != 1:
                self.violated(Rule.PUSH_DOWN, f"EXISTS over {item.customers_tables} without LIMIT 1")
        return inner

    # -- Checks

    def check_joins(self, query: Query) -> None:
        """Check what meets in one FROM, and by what it is joined."""
        if any(one.customers and other.local for one, other in permutations(query.items, 2)):
            theirs = _names(query.items, "customers_tables")
            self.violated(Rule.GATHER, f"{theirs} joined with {_names(query.items, 'local_tables')}")
        reached: list[Item] = []
        waiting = [item for item in query.items if item.customers]
        reached, waiting = waiting[:1], waiting[1:]
        while joined := [
            item for item in waiting if any(item.is_joined_by_key(one, query.equalities) for one in reached)
        ]:
            reached += joined
            waiting = [item for item in waiting if item not in joined]
        for item in waiting:
            others = _names(reached, "customers_tables")
            self.violated(
                Rule.JOIN_BY_KEY, f"{item.customers_tables} joined with {others}, not by the customer's key"
            )

    def check_look_up(self, inner: Query, outer: Item) -> None:
        """Check a sub-select that refers to an item of a query around it."""
        item = inner.as_item()
        if outer.customers and item.local:
            self.violated(
                Rule.GATHER, f"a sub-select looks up {item.local_tables} for rows of {outer.customers_tables}"
            )
        if outer.local and item.customers:
            self.violated(
                Rule.GATHER, f"a sub-select looks up {item.customers_tables} for rows of {outer.local_tables}"
            )
        if outer.customers and item.customers:
            theirs = [one for one in inner.items if one.customers]
            if not any(one.is_joined_by_key(outer, inner.equalities) for one in theirs):
                self.violated(
                    Rule.JOIN_BY_KEY,
                    f"a sub-select looks up {item.customers_tables} for rows of {outer.customers_tables},"
                    " not by the customer's key",
                )

    def check_set(
        self, query: Query, inner: Query, pairs: Sequence[tuple[Column, Column]], *, is_plain: bool
    ) -> None:
        """Check an IN whose sub-select refers to nothing around it, so that its rows are brought to the query."""
        item = inner.as_item()
        around = [one for one in query.items if one.customers]
        theirs = _names(around, "customers_tables")
        local = _names(query.items, "local_tables")
        if around and item.local and not item.customers and not is_plain:
            self.violated(Rule.GATHER, f"{theirs} meets {item.local_tables} in another way than `column IN`")
        is_bounded = all(one.equalities.bounds(one.key) for one in item.customers)
        if local and not around and not is_bounded:
            self.violated(Rule.GATHER, f"{local} filtered by an IN over all of {item.customers_tables}")
        if around and item.customers:
            is_by_key = any(
                _is_key(tested, around, query.equalities) and _is_key(column, inner.items, inner.equalities)
                for tested, column in pairs
            )
            if not is_by_key:
                self.violated(
                    Rule.JOIN_BY_KEY,
                    f"{theirs} filtered by an IN over {item.customers_tables}, not by the customer's key",
                )

    def check_lock(self, clause: Any, query: Query) -> None:
        names = {one.relname for one in clause.lockedRels or ()}
        for item in query.items:
            for one in item.customers:
                if (not names or item.name in names) and not query.equalities.fixes(one.key):
                    self.violated(Rule.LOCK_ONE, f"rows of {one.table} are locked, not of one customer")

    def check_conflict_target(self, infer: Any, table: str) -> None:
        if infer is None:
            return
        key, columns = self.tables.distributed[table], [one.name for one in infer.indexElems or ()]
        if key not in columns:
            target = infer.conname or ", ".join(name or "an expression" for name in columns)
            self.violated(Rule.CONFLICT_KEY, f"ON CONFLICT ({target}) of {table} lacks {key}")

    def check_keeps_key(self, targets: Any, table: str) -> None:
        key = self.tables.distributed[table]
        if any(one.name == key for one in targets or ()):
            self.violated(Rule.KEEP_KEY, f"UPDATE of {table} sets {key}")

    def check_functions(self, parts: Any, table: str, *, on_conflict: bool = False) -> None:
        """Check what an UPDATE or DELETE calls.

        Operators and casts are not checked: whether they depend on the time zone is decided by types.
        """
        for one in sql_scopes.walk(parts):
            if isinstance(one, ast.FuncCall):
                name = one.funcname[-1].sval
                is_of_columns = any(isinstance(part, ast.ColumnRef) for part in sql_scopes.walk(one.args))
                if (
                    name in VOLATILE
                    or (name in STABLE and (is_of_columns or on_conflict))
                    or (name in TRANSACTION_TIMES and on_conflict)
                ):
                    self.violated(Rule.IMMUTABLE, f"a change of {table} calls {name}()")
            elif isinstance(one, ast.SQLValueFunction) and on_conflict:
                self.violated(Rule.IMMUTABLE, f"a change of {table} reads the clock or the session")


def _joined_exists(condition: Any) -> Any:
    """Return the EXISTS that a condition is, or denies, if PostgreSQL makes it a join; None for another condition."""
    if isinstance(condition, ast.BoolExpr) and condition.boolop == enums.BoolExprType.NOT_EXPR:
        [condition] = condition.args
    if not isinstance(condition, ast.SubLink) or condition.subLinkType != enums.SubLinkType.EXISTS_SUBLINK:
        return None
    inner = condition.subselect
    is_plain = not (inner.groupClause or inner.havingClause or inner.withClause or inner.windowClause)
    return condition if is_plain and inner.op == enums.SetOperation.SETOP_NONE else None


def _is_of_catalogue(node: Any) -> bool:
    return node.relname.startswith("pg_") or node.schemaname in ("pg_catalog", "information_schema")


def _is_key(column: Column, items: Sequence[Item], equalities: Equalities) -> bool:
    return any(equalities.links(column, key) for item in items for key in item.key_columns())


def _names(items: Sequence[Item], which: str) -> str:
    return ", ".join(dict.fromkeys(names for item in items if (names := getattr(item, which))))


def _restricting(
    pairs: Sequence[tuple[Column, Column]], absent: Sequence[Item]
) -> list[tuple[Column, Column]]:
    """Return the pairs that restrict a side of an outer join which may be absent."""
    theirs = {column for item in absent for column in item.columns.values()}
    both = [*pairs, *((other, one) for one, other in pairs)]
    return [(one, other) for one, other in both if other in theirs]
