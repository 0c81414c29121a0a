"""Converts a template of messages from Django's language, as versions up to 0.3 had it, to Liquid.

It belongs to a migration, so it depends on no other module of the project, and stays as it is.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

LISTS = ("viewed", "cart", "bought", "new", "recommended", "similar")
OBJECTS = ("customer", "last_order", "shop", "attributes", "answers", "forloop")
PLAIN = (
    "first_name", "last_name", "name", "email", "country", "city", "language", "birth_date", "order_count",
    "total_spent", "coupon", "coupon_worth", "coupon_last_day", "unsubscribe_url",
)  # fmt: skip
DATES = ("birth_date", "customer.birth_date", "last_order.date", "coupon_last_day")
ZERO_IS_FALSE = re.compile(r"order_count|total_spent|attributes\..*|last_order\.total|.*\.quantity|.*\.size")
"""Values that can be 0, which is false for Django and true for Liquid."""

DATE_FORMATS = {
    "d": "%d", "j": "%-d", "m": "%m", "n": "%-m", "F": "%B", "M": "%b", "l": "%A", "D": "%a", "Y": "%Y", "y": "%y",
    "H": "%H", "G": "%-H", "h": "%I", "g": "%-I", "i": "%M", "s": "%S", "A": "%p", "T": "%Z", "O": "%z",
}  # fmt: skip
UNKNOWN_DATE_FORMATS = "abBcefILNoPrStuUWwzZ"
DEFAULT_DATE_FORMAT = "%B %-d, %Y"
FALSE_LITERAL = re.compile(r'-?0+(\.0*)?|""')

TOKEN = re.compile(r"(\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\})")
PIECE = re.compile(
    r"""\s*(?:(?P<text>_\(\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*\)|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<number>[-+]?\d+(?:\.\d*)?(?![\w.]))|(?P<path>\w+(?:\.\w+)*)|(?P<mark>\||:))""",
    re.VERBOSE,
)


class NotConvertible(Exception):
    """A template that cannot be converted. The text names the tag."""

    def __init__(self, source: str) -> None:
        super().__init__(source.strip())


@dataclass(frozen=True)
class Operand:
    """A value with its filters, in Liquid; ``path`` is the variable behind it, empty for a literal."""

    value: str
    path: str = ""
    filters: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " | ".join((self.value, *self.filters))


@dataclass
class Converter:
    """Converts the tokens of one template.

    ``names`` holds what loops and ``with`` call their values, ``paths`` the variables behind those names.
    """

    tokens: list[str]
    names: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    position: int = 0

    def convert(self, *ends: str) -> str:
        """Convert up to one of these tags, which stays the current one."""
        pieces = []
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            if token.startswith("{%") and tag_name(token) in ends:
                return "".join(pieces)
            self.position += 1
            if token.startswith("{{"):
                pieces.append(self.printed(token[2:-2]))
            elif token.startswith("{#"):
                pieces.append(comment(token[2:-2]))
            elif token.startswith("{%"):
                pieces.append(self.tag(token))
            else:
                pieces.append(token)
        if ends:
            raise NotConvertible(f"{{% {ends[-1]} %}} is missing")
        return "".join(pieces)

    def printed(self, source: str) -> str:
        operand = self.operand(source)
        if operand.path in DATES and all(each.startswith("default: ") for each in operand.filters):
            operand = Operand(operand.value, operand.path, (*operand.filters, f'date: "{DEFAULT_DATE_FORMAT}"'))
        return f"{{{{ {operand} }}}}"

    def tag(self, token: str) -> str:
        converters: dict[str, Callable[[str], str]] = {
            "if": self.if_tag,
            "for": self.for_tag,
            "with": self.with_tag,
            "comment": self.comment_tag,
        }
        name = tag_name(token)
        if name not in converters:
            raise NotConvertible(token)
        return converters[name](token)

    def comment_tag(self, token: str) -> str:
        kept = []
        while self.position < len(self.tokens) and tag_name(self.tokens[self.position]) != "endcomment":
            kept.append(self.tokens[self.position])
            self.position += 1
        self.position += 1
        return comment("".join(kept))

    def if_tag(self, token: str) -> str:
        pieces, tag = [], token
        while True:
            name, condition = tag_name(tag), tag[2:-2].strip().partition(" ")[2]
            if name in ("if", "elif"):
                liquid = {"if": "if", "elif": "elsif"}[name]
                pieces.append(f"{{% {liquid} {self.condition(condition)} %}}")
            else:
                pieces.append("{% else %}")
            pieces.append(self.convert("elif", "else", "endif"))
            tag = self.tokens[self.position]
            self.position += 1
            if tag_name(tag) == "endif":
                return "".join((*pieces, "{% endif %}"))

    def for_tag(self, token: str) -> str:
        found = re.fullmatch(r"\{%\s*for\s+(\w+)\s+in\s+(.+?)(\s+reversed)?\s*%\}", token)
        if not found:
            raise NotConvertible(token)
        operand = self.operand(found[2])
        limits = [loop_limits(each, token) for each in operand.filters]
        is_reversed = " reversed" if found[3] else ""
        if is_reversed and limits:
            raise NotConvertible(token)  # Liquid counts the elements before it reverses them, as Django does, or after
        outer, item = (dict(self.names), dict(self.paths)), self.new_name(found[1])
        self.names[found[1]], self.paths[found[1]] = item, f"{operand.path}[]"
        body = self.convert("empty", "endfor")
        self.names, self.paths = outer
        pieces = [f"{{% for {item} in {operand.value}{''.join(limits)}{is_reversed} %}}", body]
        if tag_name(self.tokens[self.position]) == "empty":
            self.position += 1
            pieces += ["{% else %}", self.convert("endfor")]
        self.position += 1
        return "".join((*pieces, "{% endfor %}"))

    def with_tag(self, token: str) -> str:
        source = token[2:-2].strip().partition(" ")[2]
        legacy = re.fullmatch(r"(.+?)\s+as\s+(\w+)", source)
        pairs = [(legacy[2], legacy[1])] if legacy else list(with_pairs(source, token))
        outer = dict(self.names), dict(self.paths)
        values = [(name, self.operand(value)) for name, value in pairs]
        assigned = []
        for name, value in values:
            self.names[name], self.paths[name] = self.new_name(name, is_assigned=True), path_behind(value)
            assigned.append(f"{{% assign {self.names[name]} = {value} %}}")
        body = self.convert("endwith")
        self.position += 1
        self.names, self.paths = outer
        return "".join((*assigned, body))

    def new_name(self, name: str, *, is_assigned: bool = False) -> str:
        """Return a name for a value, which is not that of another one: an assigned one lasts to the end."""
        is_known = name in LISTS + OBJECTS + PLAIN if is_assigned else False
        new, number = name, 2
        while is_known or new in self.taken:
            new, is_known, number = f"{name}_{number}", False, number + 1
        if is_assigned:
            self.taken.add(new)
        return new

    # -- Expressions

    def operand(self, source: str) -> Operand:
        """Convert a value with its filters."""
        pieces = list(pieces_of(source))
        if not pieces:
            raise NotConvertible(source)
        kind, text = pieces.pop(0)
        value = self.value(kind, text, source)
        filters = []
        while pieces:
            mark, name = pieces.pop(0), pieces.pop(0) if pieces else ("", "")
            if mark != ("mark", "|") or name[0] != "path":
                raise NotConvertible(source)
            argument = None
            if pieces and pieces[0] == ("mark", ":"):
                pieces.pop(0)
                if not pieces:
                    raise NotConvertible(source)
                argument = pieces.pop(0)
            filters.append(self.filter(name[1], argument, source))
        name, dot, parts = text.partition(".")
        path = self.paths.get(name, name) + dot + parts if kind == "path" else ""
        return Operand(value, path, tuple(filters))

    def value(self, kind: str, text: str, source: str) -> str:
        if kind == "text":
            return quoted(unquoted(text), source)
        if kind == "number":
            return text.lstrip("+").rstrip(".")
        if kind != "path":
            raise NotConvertible(source)
        if text in ("True", "False", "None"):
            return {"True": "true", "False": "false", "None": "nil"}[text]
        name, *parts = text.split(".")
        if name == "forloop":
            parts = [{"counter": "index", "counter0": "index0"}.get(part, part) for part in parts]
        named = self.names.get(name, name)
        return named + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)

    def filter(self, name: str, argument: tuple[str, str] | None, source: str) -> str:
        """Convert a filter."""
        literal = unquoted(argument[1]) if argument and argument[0] in ("text", "number") else None
        given = self.value(*argument, source) if argument else ""
        renamed = {
            "upper": "upcase", "lower": "downcase", "urlencode": "url_encode", "linebreaksbr": "newline_to_br",
            "length": "size", "title": "title", "capfirst": "capfirst",
        }  # fmt: skip
        if argument is None:
            if name in renamed:
                return renamed[name]
            plain = {"amount": "money", "date": "date", "pluralize": 'pluralize: "", "s"', "yesno": 'yesno: "yes", "no"'}
            if name in plain:
                return plain[name]
            raise NotConvertible(source)
        if name in ("default", "amount"):
            return f"{ {'default': 'default', 'amount': 'money'}[name]}: {given}"
        if name == "urlencode":
            return "url_encode"
        if literal is None:
            raise NotConvertible(source)
        match name:
            case "date":
                return f"date: {quoted(liquid_date_format(literal, source), source)}"
            case "truncatechars" if literal.isdigit():
                return f'truncate: {literal}, "…"'
            case "truncatewords" if literal.isdigit():
                return f'truncatewords: {literal}, " …"'
            case "slice" if found := re.fullmatch(r"(\d*):(\d*)", literal):
                start, end = int(found[1] or 0), int(found[2] or 100_000)
                return f"slice: {start}, {max(end - start, 0)}"
            case "pluralize" if literal.count(",") < 2:
                one, _, many = literal.rpartition(",")
                return f"pluralize: {quoted(one, source)}, {quoted(many, source)}"
            case "yesno" if literal.count(",") in (1, 2):
                yes, no = literal.split(",")[:2]
                return f"yesno: {quoted(yes, source)}, {quoted(no, source)}"
        raise NotConvertible(source)

    def condition(self, source: str) -> str:
        """Convert the condition of an ``if``. Liquid has no precedence, so mixed operators get parentheses."""
        words = condition_words(source)
        text, rest = self.disjunction(words)
        if rest:
            raise NotConvertible(source)
        return text

    def disjunction(self, words: list[str]) -> tuple[str, list[str]]:
        part, words = self.conjunction(words)
        parts = [part]
        while words[:1] == ["or"]:
            part, words = self.conjunction(words[1:])
            parts.append(part)
        if len(parts) == 1:
            return parts[0], words
        return " or ".join(f"({each})" if " and " in each or starts_with_not(each) else each for each in parts), words

    def conjunction(self, words: list[str]) -> tuple[str, list[str]]:
        part, words = self.negation(words)
        parts = [part]
        while words[:1] == ["and"]:
            part, words = self.negation(words[1:])
            parts.append(part)
        if len(parts) == 1:
            return parts[0], words
        return " and ".join(f"({each})" if starts_with_not(each) else each for each in parts), words

    def negation(self, words: list[str]) -> tuple[str, list[str]]:
        if words[:1] == ["not"]:
            part, words = self.negation(words[1:])
            is_simple = " " not in part or re.fullmatch(r"\([^()]*\)", part)
            return f"not {part}" if is_simple else f"not ({part})", words
        return self.comparison(words)

    def comparison(self, words: list[str]) -> tuple[str, list[str]]:
        if not words:
            raise NotConvertible("an incomplete condition")
        left, words = self.compared(words[0]), words[1:]
        operator = words[0] if words else ""
        if operator == "not" and words[1:2] == ["in"]:
            right, words = self.compared(words[2]) if len(words) > 2 else None, words[3:]
            if right is None:
                raise NotConvertible("an incomplete condition")
            negated = f"not ({right.value} contains {left.value})"
            return (f"({left.value} and ({negated}))" if left.path else negated), words  # false without the value
        if operator in ("==", "!=", "<", ">", "<=", ">=", "in", "is"):
            if len(words) < 2:
                raise NotConvertible("an incomplete condition")
            words = words[1:]
            if operator == "is" and words[0] == "not":
                operator, words = "!=", words[1:]
            right = self.compared(words[0])
            if operator == "in":
                return f"{right.value} contains {left.value}", words[1:]
            return f"{left.value} {'==' if operator == 'is' else operator} {right.value}", words[1:]
        if ZERO_IS_FALSE.fullmatch(left.path):
            return f"({left.value} and {left.value} != 0)", words
        return ("false" if FALSE_LITERAL.fullmatch(left.value) else left.value), words

    def compared(self, word: str) -> Operand:
        """Convert a value in a condition, where Liquid has no filters."""
        operand = self.operand(word)
        if operand.filters == ("size",) and operand.path in LISTS:
            return Operand(f"{operand.value}.size", f"{operand.path}.size")
        if operand.filters:
            raise NotConvertible(word)
        return operand


def convert_template(source: str) -> str:
    """Return a template of Django's language in Liquid. Raises NotConvertible."""
    source = source.replace("{{{", "{ {{")  # Django prints the first brace
    return Converter(TOKEN.split(source)).convert()


# -- Parts of the syntax


def starts_with_not(condition: str) -> bool:
    """Return whether a condition needs parentheses, because ``not`` reaches to the end in Liquid."""
    return condition.startswith("not ")


def tag_name(token: str) -> str:
    return token[2:-2].strip().partition(" ")[0] if token.startswith("{%") else ""


def comment(text: str) -> str:
    return f"{{% comment %}}{re.sub('[{][{%#]|[#%}][}]', '', text)}{{% endcomment %}}"


def pieces_of(source: str) -> Iterator[tuple[str, str]]:
    position, source = 0, source.rstrip()
    while position < len(source):
        found = PIECE.match(source, position)
        if not found or not found.lastgroup:
            raise NotConvertible(source.strip())
        yield found.lastgroup, found[found.lastgroup]
        position = found.end()


def with_pairs(source: str, token: str) -> Iterator[tuple[str, str]]:
    for word in condition_words(source):
        name, mark, value = word.partition("=")
        if not mark or not name.isidentifier():
            raise NotConvertible(token)
        yield name, value


def condition_words(source: str) -> list[str]:
    """Split at spaces outside of quotes."""
    return [
        found[0] for found in re.finditer(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'])+""", source)
    ]


def unquoted(text: str) -> str:
    if text.startswith("_("):
        text = text[2:-1].strip()
    if text[:1] not in ("'", '"'):
        return text
    return text[1:-1].replace("\\" + text[0], text[0]).replace("\\\\", "\\")


def quoted(text: str, source: str) -> str:
    """Return a text in quotes, which Liquid cannot escape."""
    if '"' not in text:
        return f'"{text}"'
    if "'" not in text:
        return f"'{text}'"
    raise NotConvertible(source)


def path_behind(operand: Operand) -> str:
    """Return the variable that a name of ``with`` stands for."""
    if operand.filters == ("size",):
        return f"{operand.path}.size"
    return operand.path if all(each.startswith("default: ") for each in operand.filters) else ""


def loop_limits(liquid_filter: str, token: str) -> str:
    found = re.fullmatch(r"slice: (\d+), (\d+)", liquid_filter)
    if not found or found[2] == "0":
        raise NotConvertible(token)
    offset = f" offset: {found[1]}" if found[1] != "0" else ""
    return f"{offset} limit: {found[2]}" if int(found[2]) < 10_000 else offset


def liquid_date_format(django_format: str, source: str) -> str:
    if django_format in ("", "DATE_FORMAT"):
        return DEFAULT_DATE_FORMAT
    if django_format.endswith("_FORMAT"):
        raise NotConvertible(source)
    pieces, position = [], 0
    while position < len(django_format):
        sign = django_format[position]
        if sign == "\\" and position + 1 < len(django_format):
            position += 1
            pieces.append(django_format[position])
        elif sign in DATE_FORMATS:
            pieces.append(DATE_FORMATS[sign])
        elif sign in UNKNOWN_DATE_FORMATS:
            raise NotConvertible(source)
        else:
            pieces.append("%%" if sign == "%" else sign)
        position += 1
    return "".join(pieces)
