"""The blocks of a message, and the templates that are made of them: plain text and HTML say the same.

A message of blocks is stored as JSON. Values and conditions inside its texts are written in Liquid.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from html import escape
from typing import Annotated, Any, ClassVar, Final, Literal

import nh3
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from campaigns.channels import html_conversion
from campaigns.channels.template_masking import mask, unmask
from campaigns.models import Step

from . import product_html

MAX_BLOCKS: Final = 50
ONE_PREHEADER: Final = "A message has only one preview text."
MAX_PRODUCTS: Final = 6
MAX_COLUMNS: Final = 3
TEXT_TAGS: Final = frozenset({"p", "br", "strong", "em", "a", "ul", "ol", "li"})

_CLEANER: Final = nh3.Cleaner(
    tags=set(TEXT_TAGS),
    attributes={"a": {"href"}},
    url_schemes={"http", "https", "mailto", "tel"},
    link_rel=None,
)
_HIDDEN: Final = "display:none;max-height:0;overflow:hidden;mso-hide:all"

# A value is a name, not a text in quotes: that could spell any scheme.
_LINK_START: Final = re.compile(r"https?://[^/\\]|mailto:\S|tel:\S|\{\{-?\s*[a-z]", re.IGNORECASE)
_IMAGE_START: Final = re.compile(r"https?://[^/\\]|\{\{-?\s*[a-z]", re.IGNORECASE)


class InvalidBlocks(ValueError):
    """Blocks that cannot be stored; ``problems`` names the block and the field of each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)


def clean_html(html: str) -> str:
    """Return formatted text with only paragraphs, lists, links and emphasis. Values in Liquid stay as they are."""
    masked, tokens = mask(html)
    return unmask(_CLEANER.clean(masked), tokens).strip()


def _to_html(text: str) -> str:
    """Escape a text for HTML, also for an attribute, apart from its values."""
    masked, tokens = mask(text)
    return unmask(escape(masked), tokens)


def check_url(url: str) -> str:
    """Return a URL that a link of a message may have: a web page, an address, or one that starts with a value.

    Raises ValueError. The URL of a value is checked when the message is rendered.
    """
    if not url.isprintable() or not _LINK_START.match(url):
        raise ValueError(
            "start it with https://, http://, mailto: or tel:, or with a value such as {{ shop.url }}"
        )
    return url


def check_optional_url(url: str) -> str:
    """Return a URL, or an empty text. Raises ValueError."""
    return check_url(url) if url else ""


def check_image_url(url: str) -> str:
    """Return the URL of a picture. Raises ValueError."""
    if not url.isprintable() or not _IMAGE_START.match(url):
        raise ValueError("start it with https:// or http://, or with a value such as {{ product.image }}")
    return url


Line = Annotated[str, Field(max_length=500)]
RequiredLine = Annotated[str, Field(min_length=1, max_length=500)]
LinkUrl = Annotated[RequiredLine, AfterValidator(check_url)]
OptionalUrl = Annotated[Line, AfterValidator(check_optional_url)]
ImageUrl = Annotated[RequiredLine, AfterValidator(check_image_url)]
FormattedText = Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(clean_html)]


class ProductSource(StrEnum):
    """The lists of products that a message can show."""

    RECOMMENDED = "recommended"
    VIEWED = "viewed"
    CART = "cart"
    BOUGHT = "bought"
    NEW = "new"
    SIMILAR = "similar"


SOURCE_LABELS: Final = {
    ProductSource.RECOMMENDED: "recommended",
    ProductSource.VIEWED: "viewed and not bought",
    ProductSource.CART: "in the cart",
    ProductSource.BOUGHT: "of the last order",
    ProductSource.NEW: "new in the shop",
    ProductSource.SIMILAR: "similar to what was viewed or bought",
}


class Block(BaseModel):
    """A part of a message. ``shown_if`` names a value: without it, the block is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    label: ClassVar[str]

    shown_if: Annotated[str, Field(max_length=100, pattern=r"^[a-z_]*(\.[a-z_]+)?$")] = ""

    def html(self) -> str:
        """Return the template of its HTML."""
        raise NotImplementedError

    def text(self) -> str:
        """Return the template of its plain text."""
        raise NotImplementedError


class Preheader(Block):
    """What mail programs show after the subject in the list of messages. It is not seen in the message."""

    label = "Preview text"

    type: Literal["preheader"] = "preheader"
    content: RequiredLine

    def html(self) -> str:
        return f'<div class="preheader" style="{_HIDDEN}">{_to_html(self.content)}</div>'

    def text(self) -> str:
        return ""


class Heading(Block):
    label = "Heading"

    type: Literal["heading"] = "heading"
    content: RequiredLine

    def html(self) -> str:
        return f"<h1>{_to_html(self.content)}</h1>"

    def text(self) -> str:
        return self.content


class Text(Block):
    """Paragraphs, lists and links, as HTML."""

    label = "Text"

    type: Literal["text"] = "text"
    content: FormattedText

    def html(self) -> str:
        return self.content if self.content.startswith("<") else f"<p>{self.content}</p>"

    def text(self) -> str:
        return html_conversion.text_from_html(self.html())


class Button(Block):
    label = "Button"

    type: Literal["button"] = "button"
    content: RequiredLine
    url: LinkUrl = "{{ shop.url }}"

    def html(self) -> str:
        # Outlook ignores the padding of a link, and knows that of a cell.
        return (
            '<table role="presentation" class="button"><tr><td style="mso-padding-alt:14px 28px">'
            f'<a href="{_to_html(self.url)}">{_to_html(self.content)}</a></td></tr></table>'
        )

    def text(self) -> str:
        return f"{self.content}: {self.url}"


class Picture(Block):
    """A picture of the shop; ``description`` is for people who do not see it, and stands in the plain text."""

    label = "Picture"

    type: Literal["picture"] = "picture"
    image: ImageUrl
    description: RequiredLine
    url: OptionalUrl = ""

    def html(self) -> str:
        image = f'<img src="{_to_html(self.image)}" alt="{_to_html(self.description)}" width="536">'
        return f'<p class="picture">{f"""<a href="{_to_html(self.url)}">{image}</a>""" if self.url else image}</p>'

    def text(self) -> str:
        return f"{self.description}: {self.url}" if self.url else f"[{self.description}]"


class Products(Block):
    """Products for the customer, with a heading; ``otherwise`` is shown if there are none.

    One column is a list with small pictures. Each product has a button if ``button`` has its words.
    """

    label = "Products"

    type: Literal["products"] = "products"
    source: ProductSource
    limit: Annotated[int, Field(ge=1, le=MAX_PRODUCTS)] = 3
    columns: Annotated[int, Field(ge=1, le=MAX_COLUMNS)] = 1
    heading: Line = ""
    button: Line = ""
    otherwise: Line = ""

    def html(self) -> str:
        heading = f"<h2>{_to_html(self.heading)}</h2>\n" if self.heading else ""
        button = _to_html(self.button)
        if self.columns == 1:
            shown = product_html.list_html(self.source, self.limit, button)
        else:
            shown = product_html.grid_html(self.source, self.limit, button, self.columns)
        return self._in_condition(f"{heading}{shown}", f"<p>{_to_html(self.otherwise)}</p>")

    def text(self) -> str:
        heading = f"{self.heading}\n\n" if self.heading else ""
        return self._in_condition(
            f"{heading}{{% for product in {self.source} limit: {self.limit} %}}\n{_PRODUCT_TEXT}\n{{% endfor %}}",
            self.otherwise,
        )

    def _in_condition(self, shown: str, otherwise: str) -> str:
        other = f"\n{{% else %}}\n{otherwise}" if self.otherwise else ""
        return f"{{% if {self.source} %}}\n{shown}{other}\n{{% endif %}}"


_PRODUCT_TEXT: Final = (
    "- {{ product.name | default: product.sku }}{% if product.price %}, {{ product.price | money }}{% endif %}:"
    " {{ product.url | default: shop.url }}"
)


class Coupon(Block):
    """The customer's own code of the campaign's pool, what it is worth and until when.

    ``content`` stands before the code, ``until`` before the last day.
    """

    label = "Coupon"

    type: Literal["coupon"] = "coupon"
    content: RequiredLine = "Your code"
    until: RequiredLine = "Valid until"

    def html(self) -> str:
        return (
            f'<p class="coupon">{_to_html(self.content)}<br><strong class="coupon-code">{{{{ coupon }}}}</strong>'
            "{% if coupon_worth %}<br>{{ coupon_worth }}{% endif %}"
            f"{{% if coupon_last_day %}}<br>{_to_html(self.until)} {{{{ coupon_last_day | date }}}}{{% endif %}}</p>"
        )

    def text(self) -> str:
        return (
            f"{self.content}: {{{{ coupon }}}}{{% if coupon_worth %}} ({{{{ coupon_worth }}}}){{% endif %}}\n"
            f"{{% if coupon_last_day %}}\n{self.until} {{{{ coupon_last_day | date }}}}\n{{% endif %}}"
        )


class Divider(Block):
    label = "Divider"

    type: Literal["divider"] = "divider"

    def html(self) -> str:
        return "<hr>"

    def text(self) -> str:
        return "* * *"


class Footer(Block):
    """Small print. The address of the shop and the link to unsubscribe follow in every e-mail."""

    label = "Footer"

    type: Literal["footer"] = "footer"
    content: FormattedText

    def html(self) -> str:
        return f'<div class="footer">{self.content}</div>'

    def text(self) -> str:
        return html_conversion.text_from_html(self.html())


BLOCK_CLASSES: Final[tuple[type[Block], ...]] = (
    Heading, Text, Button, Picture, Products, Coupon, Divider, Footer, Preheader,
)  # fmt: skip
AnyBlock = Annotated[
    Preheader | Heading | Text | Button | Picture | Products | Coupon | Divider | Footer,
    Field(discriminator="type"),
]
_ADAPTER: Final[TypeAdapter[list[Any]]] = TypeAdapter(Annotated[list[AnyBlock], Field(max_length=MAX_BLOCKS)])


def parse_blocks(value: Any) -> list[Block]:
    """Read the blocks of a message from JSON. Raises InvalidBlocks."""
    try:
        blocks: list[Block] = _ADAPTER.validate_python(value)
    except ValidationError as error:
        raise InvalidBlocks(list(map(_sentence, error.errors()))) from None
    if sum(isinstance(block, Preheader) for block in blocks) > 1:
        raise InvalidBlocks([ONE_PREHEADER])
    return blocks


def parse_each(value: Any) -> tuple[list[Block], list[tuple[int | None, str]]]:
    """Read the blocks that can be read, and return the problems of the others with their places, from 0.

    Raises InvalidBlocks for what is no list of blocks.
    """
    if not isinstance(value, list) or len(value) > MAX_BLOCKS:
        parse_blocks(value)
    valid: list[Block] = []
    problems: list[tuple[int | None, str]] = []
    for place, one in enumerate(value):
        try:
            [block] = _ADAPTER.validate_python([one])
        except ValidationError as error:
            problems += [(place, _problem(each)) for each in error.errors()]
            continue
        if isinstance(block, Preheader) and any(isinstance(other, Preheader) for other in valid):
            problems.append((place, ONE_PREHEADER))
        else:
            valid.append(block)
    return valid, problems


def to_json(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    return [block.model_dump(mode="json", exclude_defaults=True) | {"type": _type(block)} for block in blocks]


def write_templates(step: Step) -> None:
    """Set the text and HTML of a step that consists of blocks. Raises InvalidBlocks."""
    if step.blocks:
        blocks = parse_blocks(step.blocks)
        step.blocks, step.text, step.html = to_json(blocks), block_text(blocks), block_html(blocks)


def block_html(blocks: Sequence[Block]) -> str:
    """Return the template of the HTML of these blocks, a fragment. The preview text comes first."""
    ordered = sorted(blocks, key=lambda block: not isinstance(block, Preheader))
    return "\n".join(_in_condition(block, block.html()) for block in ordered)


def block_text(blocks: Sequence[Block]) -> str:
    """Return the template of their plain text."""
    return "\n\n".join(_in_condition(block, text) for block in blocks if (text := block.text()))


def _in_condition(block: Block, template: str) -> str:
    return f"{{% if {block.shown_if} %}}\n{template}\n{{% endif %}}" if block.shown_if else template


def _type(block: Block) -> str:
    return str(getattr(block, "type", ""))


_PROBLEMS: Final = {"string_too_short": "it is empty", "missing": "it is missing"}


def _sentence(error: Any) -> str:
    """Return what is wrong with a block: its place from 1, its field, and the reason."""
    place = [str(part + 1) if isinstance(part, int) else str(part) for part in error["loc"]]
    return f"Block {' '.join(place)}: {_reason(error)}." if place else f"{_reason(error)}."


def _problem(error: Any) -> str:
    """Return what is wrong with the field of a block."""
    field = str(error["loc"][-1]).replace("_", " ").capitalize() if len(error["loc"]) > 1 else ""
    return f"{field}: {_reason(error)}." if field else f"{_reason(error)}."


def _reason(error: Any) -> str:
    return _PROBLEMS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
