"""What a message says to one customer: its templates checked on saving, previewed, and rendered for a delivery.

The language is that of ``campaigns.language``, the values are those of ``campaigns.values``.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final

from django.conf import settings
from django.urls import reverse

from campaigns import coupons, language, layout, links, values
from campaigns.channels.base import Message
from campaigns.coupons import NoneLeft
from campaigns.language import BadTemplate, Compiled, MissingValue
from campaigns.models import Campaign, Channel, Delivery, Step
from campaigns.values import KNOWN, Addressee
from customers.models import Customer

__all__ = ["BadTemplate", "MissingValue", "NoneLeft", "Preview", "check", "preview", "render"]

KEPT: Final = 256  # steps whose templates are not read anew for each message
LONGEST: Final = 50_000  # characters of what staff write
READ_BY_PEOPLE: Final = (Channel.EMAIL, Channel.ON_SITE)

_ANSWER: Final = re.compile(r"\{[{%][^{}]*?\banswers\.(\w+)")
_LABELS: Final = {"subject": "Subject", "text": "Text", "html": "HTML", "url": "Address"}


@dataclass(frozen=True)
class Preview:
    """A message as a customer would get it, or what keeps it from being one."""

    message: Message | None
    problems: tuple[str, ...] = ()


def render(delivery: Delivery, at: datetime) -> Message:
    """Write the message of a delivery, with links that are followed.

    Raises MissingValue where a value is missing for this customer, or the templates will not do; NoneLeft where a
    coupon is needed and none is left.
    """
    campaign, customer = delivery.campaign, delivery.customer
    written = _written(delivery.step)
    if written.problems:
        raise BadTemplate(written.problems)
    unsubscribe_url = links.unsubscribe_url(delivery)
    addressee = Addressee(
        customer,
        at,
        campaign,
        lambda: coupons.give(campaign, customer, at, delivery.occasion),
        unsubscribe_url,
    )
    found = values.of(written.names, addressee)
    if delivery.step.channel == Channel.WEBHOOK:  # read by programs, which follow nothing
        return written.message(found, _where_it_may(delivery.step))

    @cache  # text and HTML have mostly the same links, and signing takes longer than all the rest
    def follow(url: str) -> str:
        return url if url == unsubscribe_url else links.click_url(delivery, url)

    return written.message(found, follow)


def preview(step: Step, customer: Customer, at: datetime, coupon: str = "") -> Preview:
    """Write the message as this customer would get it, without giving a coupon away; name all problems."""
    problems = check(step)
    if problems:
        return Preview(None, tuple(problems))
    campaign = step.campaign if step.campaign_id else None
    address = settings.PUBLIC_URL + reverse("campaigns-unsubscribe")
    addressee = Addressee(customer, at, campaign, lambda: coupon or _example(campaign, customer, at), address)
    written = _written(step)
    try:
        found = values.of(written.names, addressee)
        return Preview(written.message(found, _where_it_may(step)))
    except NoneLeft as error:
        return Preview(None, (str(error),))
    except MissingValue as error:
        # HTML and text often lack the same.
        missing = {problem: label for label, problem in reversed([*_missing(written.parts, found)])}
        told = tuple(f"{label}: {problem}" for problem, label in reversed(missing.items()))
        return Preview(None, told or (str(error),))


def asked(steps: Iterable[Step]) -> list[str]:
    """Return the names of what staff have to fill in, as the templates of some steps print it, in their order."""
    found = dict.fromkeys(
        name
        for step in steps
        for source in (step.subject, step.text, step.html, step.url)
        for name in _ANSWER.findall(source)
    )
    return list(found)


def uses(steps: Iterable[Step], name: str) -> bool:
    """Return whether the templates of some steps cannot do without a value."""
    return any(name in _written(step).names for step in steps)


def check(step: Step) -> list[str]:
    """Name what is wrong with the templates of a step for everybody, a sentence each; none where they will do."""
    return list(_written(step).problems)


def _where_it_may(step: Step) -> Callable[[str], str]:
    """Leave links as they are, but for those that a message of the step may not lead to."""

    def follow(url: str) -> str:
        is_page = url.lower().startswith(("http://", "https://"))
        return "" if is_page and not links.may_lead(url, step) else url

    return follow


def _example(campaign: Campaign | None, customer: Customer, at: datetime) -> str:
    """Give a code to show: the customer's own, or one that nobody has."""
    if campaign is None or campaign.pool_id is None:
        raise NoneLeft(coupons.NO_POOL)
    if coupons.has_ended(campaign, at):
        raise NoneLeft(coupons.ENDED)
    held = coupons.held_by(campaign, customer)
    if not held and not coupons.has_free(campaign.pool_id):
        raise NoneLeft(coupons.EMPTY_POOL)
    return held or "EXAMPLE-CODE"


# -- The templates of a step


@dataclass(frozen=True)
class _Written:
    """The templates of a step, read, by their names."""

    problems: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    parts: Mapping[str, Compiled] = field(default_factory=dict)

    def message(self, found: dict[str, Any], follow: Callable[[str], str]) -> Message:
        """Put values in; raises MissingValue."""
        said = {name: part.render(found) for name, part in self.parts.items()}
        url = said.get("url", "").strip()
        if url and not url.lower().startswith(("https://", "http://")):
            raise MissingValue(f"{url!r} is no address of a page, such as {settings.SHOP_URL}")
        there = follow(url) if url else ""
        if url and not there:
            raise MissingValue(
                f"{url!r} is no page of the shop: write it into the template, or name its host in PRODUCT_HOSTS"
            )
        return Message(
            subject=" ".join(said.get("subject", "").split()),
            text=layout.followed_text(layout.closed_up(said["text"]), follow) if "text" in said else "",
            html=layout.followed_html(said["html"].strip(), follow) if "html" in said else "",
            url=there,
        )


def _written(step: Step) -> _Written:
    return _read(_Sources(step.channel, step.subject, step.text, step.html, step.url))


@dataclass(frozen=True)
class _Sources:
    """What staff have written for a step."""

    channel: str
    subject: str
    text: str
    html: str
    url: str

    def parts(self) -> dict[str, str]:
        """Give what was written, by its name."""
        return {"subject": self.subject, "text": self.text, "html": self.html, "url": self.url}

    def problems(self) -> Iterator[str]:
        """Name what is wrong before any template is read."""
        for name, source in self.parts().items():
            if len(source) > LONGEST:
                yield f"{_LABELS[name]}: longer than {LONGEST:,} characters."
            elif not language.is_closed(source):
                yield f"{_LABELS[name]}: a {{{{, {{% or {{# is not closed in its line."
            else:
                continue
            return  # nothing else looks at it
        is_said = bool(self.text.strip() or self.html.strip())
        if self.channel == Channel.EMAIL and not self.subject.strip():
            yield "An e-mail needs a subject."
        if self.channel in READ_BY_PEOPLE and not is_said:
            yield "Write a text, or HTML."
        if self.channel == Channel.WEBHOOK and not self.url.strip():
            yield "A webhook needs the address it goes to."
        if (
            self.channel == Channel.EMAIL
            and layout.is_whole(self.html)
            and "unsubscribe_url" not in self.html
        ):
            yield 'HTML: a whole document needs a link to end the newsletter: <a href="{{ unsubscribe_url }}">.'
        for problem in layout.problems(self.html):
            yield f"HTML: {problem}"

    def templates(self) -> dict[str, str]:
        """Give the templates to read: of text and HTML, one is made of the other where people read them."""
        if self.channel == Channel.AUDIENCE:
            return {}
        said = self.parts() | {"text": layout.tidied(self.text)}
        if self.channel in READ_BY_PEOPLE:
            said["html"] = self.html if self.html.strip() else layout.html_of(self.text)
            said["text"] = said["text"] if self.text.strip() else layout.text_of(self.html)
        if self.channel == Channel.EMAIL:
            said["html"], said["text"] = layout.framed(said["html"]), layout.with_footer(said["text"])
        return {name: source for name, source in said.items() if source.strip()}


@lru_cache(maxsize=KEPT)
def _read(sources: _Sources) -> _Written:
    if problems := list(sources.problems()):
        return _Written(tuple(problems))
    written, compiled = sources.parts(), dict[str, Compiled]()
    for name, template in sources.templates().items():
        try:
            compiled[name] = language.compile(template, KNOWN, as_html=name == "html")
        except BadTemplate as error:
            if written[name]:  # what it was made of says the same
                problems += [f"{_LABELS[name]}: {problem}" for problem in error.problems]
    if problems:
        return _Written(tuple(problems))
    names = frozenset[str]().union(*(one.names for one in compiled.values()))
    return _Written((), names, compiled)


def _missing(parts: Mapping[str, Compiled], found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, part in parts.items():
        try:
            part.render(found)
        except MissingValue as error:
            yield _LABELS[name], str(error)
