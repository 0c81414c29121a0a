"""What the names of an SQL statement mean: its tables, sub-selects and columns, and which columns are equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, enums


@dataclass(eq=False)
class Column:
    """A column of a table or sub-select, or a constant. ``is_gathered`` stands for the keys in a temporary table."""

    constant: object = None
    is_gathered: bool = False

    def is_same(self, other: Column) -> bool:
        return self is other or (self.constant is not None and self.constant == other.constant)


@dataclass(eq=False)
class Equalities:
    """What the conditions of a query make equal, besides those of the query around it.

    A pair ``one_way`` restricts only its second column: ON of an outer join restricts the side that may be absent.
    A query ``is_apart`` if PostgreSQL evaluates it for each row of the query around it, instead of joining them.
    """

    around: Equalities | None = None
    is_apart: bool = False
    both_ways: list[tuple[Column, Column]] = field(default_factory=list)
    one_way: list[tuple[Column, Column]] = field(default_factory=list)

    def links(self, one: Column, other: Column) -> bool:
        """Return whether the conditions join two columns."""
        return any(column.is_same(other) for column in self._reached(one, forwards=True))

    def fixes(self, column: Column) -> bool:
        """Return whether the conditions restrict a column to a constant."""
        return any(one.constant is not None for one in self._reached(column, forwards=False))

    def names(self, column: Column) -> bool:
        """Return whether a column is restricted to a constant before any row of a query around is read."""
        return any(one.constant is not None for one in self._reached(column, forwards=False, joined=True))

    def bounds(self, column: Column) -> bool:
        """Return whether the conditions restrict a column to a constant, or to the keys in a temporary table."""
        reached = self._reached(column, forwards=False)
        return any(one.is_gathered or one.constant is not None for one in reached)

    def _reached(self, start: Column, *, forwards: bool, joined: bool = False) -> Iterator[Column]:
        steps: list[tuple[Column, Column]] = []
        level: Equalities | None = self
        while level is not None:
            steps += level.both_ways
            steps += [(other, one) for one, other in [*level.both_ways, *level.one_way]]
            steps += level.one_way if forwards else []
            level = None if joined and level.is_apart else level.around
        seen, waiting = {start}, [start]
        while waiting:
            column = waiting.pop()
            yield column
            for near, far in steps:
                if far not in seen and near.is_same(column):
                    seen.add(far)
                    waiting.append(far)


@dataclass(eq=False)
class Occurrence:
    """A mention of a customers' table whose rows a statement reads, updates or deletes."""

    table: str
    key: Column
    equalities: Equalities


@dataclass(eq=False)
class Branch:
    """One SELECT of a UNION."""

    item: Item
    equalities: Equalities
    output: list[tuple[str, Column]]

    def keeps_key(self, place: int) -> bool:
        """Return whether the column at a place of the output is the customer's key."""
        column = self.output[place][1]
        return any(self.equalities.links(column, key) for key in self.item.key_columns())


@dataclass(eq=False)
class Item:
    """A table or sub-select in FROM. ``local`` names its temporary and coordinator tables.

    If not ``is_complete``, it may have columns that are not known.
    """

    name: str
    columns: dict[str, Column] = field(default_factory=dict)
    is_complete: bool = True
    customers: list[Occurrence] = field(default_factory=list)
    local: set[str] = field(default_factory=set)
    united: list[tuple[Column, list[Branch], int]] = field(default_factory=list)

    def column(self, name: str) -> Column | None:
        if name not in self.columns and not self.is_complete:
            self.columns[name] = Column()
        return self.columns.get(name)

    def rename(self, names: Any) -> None:
        """Give the columns the names of a column list."""
        if names:
            first = [name.sval for name in names]
            rest = list(self.columns)[len(first) :]
            self.columns = dict(zip([*first, *rest], self.columns.values(), strict=False))
            self.is_complete = len(self.columns) >= len(first)

    @property
    def customers_tables(self) -> str:
        return ", ".join(sorted({one.table for one in self.customers}))

    @property
    def local_tables(self) -> str:
        return ", ".join(sorted(self.local))

    def key_columns(self) -> list[Column]:
        """Return the columns that are the customer's key. A column of a UNION is, if it is in each branch."""
        united = [
            column
            for column, branches, place in self.united
            if all(branch.keeps_key(place) for branch in branches if branch.item.customers)
        ]
        return [*united, *(one.key for one in self.customers)]

    def is_joined_by_key(self, other: Item, equalities: Equalities) -> bool:
        return any(
            equalities.links(key, theirs) for key in self.key_columns() for theirs in other.key_columns()
        )


@dataclass(eq=False)
class Query:
    """A SELECT, INSERT, UPDATE or DELETE. ``outer`` are the items of queries around it that it refers to."""

    around: Query | None
    equalities: Equalities
    items: list[Item] = field(default_factory=list)
    outer: list[Item] = field(default_factory=list)
    output: list[tuple[str, Column]] = field(default_factory=list)
    join_conditions: list[Any] = field(default_factory=list)

    def as_item(self, name: str = "") -> Item:
        """Return the query as one FROM item."""
        item = Item(name, dict(self.output))
        item.is_complete = "*" not in item.columns
        for one in self.items:
            item.customers += one.customers
            item.local |= one.local
            item.united += one.united
        return item

    def refer_to(self, items: Sequence[Item]) -> None:
        """Record that a part of the query refers to items, if they are not its own."""
        self.outer += [item for item in items if item not in self.items and item not in self.outer]

    def resolve(self, node: Any) -> Column | None:
        """Find the column that a name means, from the innermost query outwards."""
        if isinstance(node.fields[-1], ast.A_Star):
            return None
        names = [one.sval for one in node.fields]
        passed: list[Query] = []
        level: Query | None = self
        while level is not None:
            if found := level._find(names):
                item, column = found
                for query in passed:
                    query.refer_to([item])
                return column
            passed.append(level)
            level = level.around
        return None

    def _find(self, names: Sequence[str]) -> tuple[Item, Column] | None:
        """Find a column among the items. One whose columns are not known has it if no other can."""
        *table, name = names
        if table:
            found = [item for item in self.items if item.name == table[-1]]
        else:
            found = [item for item in self.items if name in item.columns]
            # The columns of `excluded` are always written with it.
            unknown = [item for item in self.items if not item.is_complete and item.name != "excluded"]
            whole_rows = [item for item in self.items if item.name == name]
            found = found or whole_rows or (unknown if len(unknown) == 1 else [])
        return (found[0], found[0].column(name) or Column()) if found else None

    def plain(self, node: Any) -> Column | None:
        """Return the column or constant that an expression is; None if it computes something."""
        match node:
            case ast.ColumnRef():
                return self.resolve(node)
            case ast.A_Const():
                return None if node.isnull else Column(constant=("value", str(node.val)))
            case ast.ParamRef():
                return Column(constant=("parameter", node.number))
            case ast.TypeCast() if isinstance(node.arg, ast.A_Const | ast.ParamRef):
                return self.plain(node.arg)
        return None

    def equal_columns(self, condition: Any) -> list[tuple[Column, Column]]:
        """Return the columns and constants that a condition makes equal."""
        pairs = []
        for part in conjuncts(condition):
            if not isinstance(part, ast.A_Expr) or part.name[-1].sval != "=":
                continue
            if part.kind == enums.A_Expr_Kind.AEXPR_OP:
                sides = elements(part.lexpr), elements(part.rexpr)
            elif part.kind == enums.A_Expr_Kind.AEXPR_IN and len(part.rexpr) == 1:
                sides = elements(part.lexpr), elements(part.rexpr[0])
            else:
                continue
            for one, other in zip(*sides, strict=False):
                left, right = self.plain(one), self.plain(other)
                if left is not None and right is not None:
                    pairs.append((left, right))
        return pairs

    def select(self, target: Any) -> None:
        """Add an expression of a SELECT list or RETURNING to the output."""
        value = target.val
        if not (isinstance(value, ast.ColumnRef) and isinstance(value.fields[-1], ast.A_Star)):
            self.output.append((target.name or output_name(value), self.plain(value) or Column()))
            return
        of = value.fields[-2].sval if len(value.fields) > 1 else None
        for item in self.items:
            if of in (None, item.name) and item.name != "excluded":
                self.output += item.columns.items()
                if not item.is_complete:
                    self.output.append(("*", Column()))


@dataclass(frozen=True)
class Cte:
    """A CTE with those it can refer to. Without a node, it is a reference of a recursive one to itself."""

    node: Any
    known: Mapping[str, Cte]


def branches(node: Any) -> Iterator[Any]:
    """Return the SELECTs of a UNION."""
    for side in (node.larg, node.rarg):
        is_union = side.op != enums.SetOperation.SETOP_NONE
        if is_union and side.withClause is None and side.limitCount is None:
            yield from branches(side)
        else:
            yield side


def conjuncts(node: Any) -> Iterator[Any]:
    if isinstance(node, ast.BoolExpr) and node.boolop == enums.BoolExprType.AND_EXPR:
        for one in node.args:
            yield from conjuncts(one)
    elif node is not None:
        yield node


def elements(node: Any) -> list[Any]:
    return list(node.args) if isinstance(node, ast.RowExpr) else [node]


def walk(node: Any, *, into_sub_selects: bool = True) -> Iterator[Any]:
    """Walk through the nodes of a tree. Sub-selects of expressions may be left out."""
    if isinstance(node, tuple):
        for one in node:
            yield from walk(one, into_sub_selects=into_sub_selects)
    elif isinstance(node, ast.Node):
        yield node
        if isinstance(node, ast.SubLink) and not into_sub_selects:
            return
        for name in node:
            value = getattr(node, name)
            if isinstance(value, tuple | ast.Node):
                yield from walk(value, into_sub_selects=into_sub_selects)


def count_references(node: Any, cte: str) -> int:
    """Count how often a statement mentions a CTE."""
    return sum(
        isinstance(one, ast.RangeVar) and one.relname == cte and one.schemaname is None for one in walk(node)
    )


def integer(node: Any) -> int | None:
    """Return the number that an expression is; None if it is not one."""
    if isinstance(node, ast.TypeCast):
        node = node.arg
    if isinstance(node, ast.A_Const) and not node.isnull:
        value = node.val
        if isinstance(value, ast.Integer):
            return int(value.ival or 0)
        if isinstance(value, ast.Float) and value.fval.isdigit():
            return int(value.fval)
    return None


def output_name(value: Any) -> str:
    """Return the name that PostgreSQL gives an expression of a SELECT list."""
    match value:
        case ast.ColumnRef():
            return str(value.fields[-1].sval)
        case ast.FuncCall():
            return str(value.funcname[-1].sval)
        case ast.TypeCast():
            return output_name(value.arg)
        case ast.CaseExpr():
            return "case"
        case ast.CoalesceExpr():
            return "coalesce"
        case ast.SubLink() if value.subLinkType == enums.SubLinkType.EXPR_SUBLINK:
            [target, *_] = value.subselect.targetList or (ast.ResTarget(),)
            return target.name or output_name(target.val)
        case ast.SubLink():
            return "exists"
    return "?column?"
