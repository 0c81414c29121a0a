"""What kinds of values a template may use, and the values themselves.

A value that a customer lacks is false in a condition, and an error that names it where it is printed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class MissingValue(Exception):
    """A message cannot be rendered. The text says what is missing, and what to change."""


class InvalidTemplate(MissingValue):
    """A template is wrong for every customer; ``problems`` holds a sentence for each thing to change."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)


# -- What a template may use


@dataclass(frozen=True)
class ListVariable:
    """A list; ``parts`` are those of each item."""

    help: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class ObjectVariable:
    """A value with named parts."""

    help: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class OpenVariable:
    """A value whose parts can have any name."""

    help: str


VariableType = str | ListVariable | ObjectVariable | OpenVariable
"""The type of a variable. A string is the help text of a plain value."""


class Missing:
    """A value that a customer lacks: false in a condition, MissingValue where it is printed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())  # otherwise, __getitem__ would make it endless

    def __getitem__(self, part: Any) -> "Missing":
        if isinstance(part, slice):
            return self
        return Missing(f"{self.name}[{part}]" if isinstance(part, int) else f"{self.name}.{part}")

    def __liquid__(self) -> None:
        """Return what Liquid compares."""

    def __str__(self) -> str:
        raise self.error()

    def error(self) -> MissingValue:
        return MissingValue(
            f'{self.name} is missing. Add a fallback, such as {{{{ {self.name} | default: "…" }}}},'
            f" or put the text that needs it between {{% if {self.name} %}} and {{% endif %}}."
        )


class ListValue(list[Any]):
    """A list whose absent items are Missing. An empty one is false in a condition, unlike lists of Liquid."""

    def __init__(self, name: str, items: Sequence[Any]) -> None:
        super().__init__(items)
        self.name = name

    def __liquid__(self) -> "ListValue | None":
        """Return what Liquid compares."""
        return self or None

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            return Missing(f"{self.name}[{index}]")
        item = super().__getitem__(index)
        return ListValue(self.name, item) if isinstance(index, slice) else item


class OpenValue(dict[str, Any]):
    """A mapping whose absent keys are Missing."""

    def __init__(self, name: str, parts: Mapping[str, Any]) -> None:
        super().__init__(parts)
        self.name = name

    def __missing__(self, part: str) -> Missing:
        return Missing(f"{self.name}.{part}")
