"""The kinds of blocks and their fields, as an editor needs them. They are read from the models of the blocks."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from . import blocks
from .blocks import Block

LABELS: Final[Mapping[str, str]] = {
    "content": "Text", "url": "Leads to", "image": "Address of the picture", "description": "Description",
    "source": "Which", "limit": "At most", "button": "Button of each", "until": "Before the last day",
    "otherwise": "If there are none",
}  # fmt: skip
HELP: Final[Mapping[str, str]] = {
    "description": "For people who do not see the picture.",
    "coupon.content": "The words before the code.",
    "preheader.content": "What mail programs show after the subject. It is not seen in the message.",
    "image": "A picture on a page of your shop, such as https://shop.example/picture.png",
}
ICONS: Final[Mapping[str, str]] = {
    "heading": "title", "text": "notes", "button": "smart_button", "picture": "image", "products": "shopping_bag",
    "coupon": "sell", "divider": "horizontal_rule", "footer": "short_text",
    "preheader": "visibility",
}  # fmt: skip


class FieldKind(StrEnum):
    """How a field is edited."""

    LINE = "line"
    FORMATTED = "formatted"
    URL = "url"
    IMAGE = "image"
    NUMBER = "number"
    CHOICE = "choice"
    FLAG = "flag"


@dataclass(frozen=True)
class BlockField:
    """A field of a block. ``minimum`` and ``maximum`` bound a number; ``choices`` are values with their labels."""

    name: str
    label: str
    kind: str
    is_required: bool
    default: Any
    help: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[tuple[Any, str], ...] = ()


@dataclass(frozen=True)
class BlockKind:
    """A kind of block with its fields, except ``shown_if``, which all have."""

    type: str
    label: str
    icon: str
    fields: tuple[BlockField, ...]


def block_kinds() -> tuple[BlockKind, ...]:
    """Return the kinds of blocks in the order of their declaration."""
    return tuple(map(_block_kind, blocks.BLOCK_CLASSES))


def _block_kind(block: type[Block]) -> BlockKind:
    fields = {name: field for name, field in block.model_fields.items() if name not in ("type", "shown_if")}
    key = str(block.model_fields["type"].default)
    made = tuple(_block_field(key, name, field) for name, field in fields.items())
    return BlockKind(key, block.label, ICONS.get(key, "widgets"), made)


def _block_field(block: str, name: str, field: FieldInfo) -> BlockField:
    kind = _kind(field)
    bounds = {type(each).__name__: each for each in field.metadata}
    minimum, maximum = getattr(bounds.get("Ge"), "ge", None), getattr(bounds.get("Le"), "le", None)
    is_required = field.is_required() or getattr(bounds.get("MinLen"), "min_length", 0) > 0
    return BlockField(
        name,
        LABELS.get(name, name.replace("_", " ").capitalize()),
        kind,
        is_required,
        _default(field, kind),
        HELP.get(f"{block}.{name}", HELP.get(name, "")),
        minimum,
        maximum,
        _choices(field.annotation),
    )


def _kind(field: FieldInfo) -> FieldKind:
    checks = {each.func for each in field.metadata if isinstance(each, AfterValidator)}
    if _choices(field.annotation):
        return FieldKind.CHOICE
    if field.annotation is bool:
        return FieldKind.FLAG
    if field.annotation is int:
        return FieldKind.NUMBER
    if blocks.clean_html in checks:
        return FieldKind.FORMATTED
    if blocks.check_image_url in checks:
        return FieldKind.IMAGE
    if checks & {blocks.check_url, blocks.check_optional_url}:
        return FieldKind.URL
    return FieldKind.LINE


def _default(field: FieldInfo, kind: FieldKind) -> Any:
    if not field.is_required():
        return field.default
    choices = _choices(field.annotation)
    return choices[0][0] if kind == FieldKind.CHOICE else ""


def _choices(annotation: Any) -> tuple[tuple[Any, str], ...]:
    if isinstance(annotation, type) and issubclass(annotation, blocks.ProductSource):
        return tuple((str(source), blocks.SOURCE_LABELS[source]) for source in annotation)
    if get_origin(annotation) is Literal:
        return tuple((value, str(value).replace("_", " ").capitalize()) for value in get_args(annotation))
    return ()
