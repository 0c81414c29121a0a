"""Checks, previews and renders the templates of a step.

``campaigns.messages.template_language`` defines the language, ``campaigns.messages.variables`` the values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final

from django.conf import settings
from django.urls import reverse

from campaigns.channels import html_conversion
from campaigns.channels.base import Channel, OutgoingMessage, Problem
from campaigns.channels.registry import CHANNELS
from campaigns.coupons import coupon_pool
from campaigns.coupons.coupon_pool import NoCodeAvailable
from campaigns.links import link_rewriting, signed_links
from campaigns.links.link_rewriting import LinkRewriter
from campaigns.models import Campaign, Delivery, Step
from core.shop import shop
from customers.models import Customer

from . import template_language, variables
from .template_language import CompiledTemplate
from .variable_types import InvalidTemplate, MissingValue
from .variables import VARIABLES, Recipient

__all__ = [
    "InvalidTemplate",
    "MissingValue",
    "NoCodeAvailable",
    "Preview",
    "preview",
    "problem_texts",
    "render",
]

COMPILED_CACHE_SIZE: Final = 256  # steps

NOT_CONVERTED: Final = (
    "This message is written in the template language of an earlier version, and {} could not be converted to Liquid."
    " Edit it, and save it."
)
NO_CHANNEL: Final = "This channel is not available. Choose another one."


@dataclass(frozen=True)
class Preview:
    """A message as a customer would get it, or the problems that prevent it."""

    message: OutgoingMessage | None
    problems: tuple[str, ...] = ()


def render(delivery: Delivery, at: datetime) -> OutgoingMessage:
    """Render the message of a delivery, with tracked links.

    Raises MissingValue where a value is missing for this customer, or InvalidTemplate; NoCodeAvailable where a
    coupon is needed and none is left.
    """
    campaign, customer = delivery.campaign, delivery.customer
    compiled = _compile_step(delivery.step)
    if compiled.problems:
        raise InvalidTemplate(problem_texts(delivery.step))
    unsubscribe_url = signed_links.unsubscribe_url(delivery)
    recipient = Recipient(
        customer,
        at,
        campaign,
        lambda: coupon_pool.assign_code(campaign, customer, at, delivery.occasion),
        unsubscribe_url,
    )
    values = variables.resolve_variables(compiled.names, recipient)
    channel = CHANNELS[delivery.step.channel]
    if not channel.tracks_links:
        return compiled.message(values, _allowed_links_only(delivery.step))

    @cache  # text and HTML mostly have the same links, and signing is slow
    def tracked_url(url: str) -> str:
        return url if url == unsubscribe_url else signed_links.click_url(delivery, url)

    return compiled.message(values, tracked_url)


def preview(step: Step, customer: Customer, at: datetime, coupon: str = "") -> Preview:
    """Render the message as this customer would get it, without assigning a coupon; return all problems."""
    if problems := problem_texts(step):
        return Preview(None, tuple(problems))
    campaign = step.campaign if step.campaign_id else None
    unsubscribe_url = settings.PUBLIC_URL + reverse("campaigns-unsubscribe")
    recipient = Recipient(
        customer, at, campaign, lambda: coupon or _example_code(campaign, customer, at), unsubscribe_url
    )
    compiled = _compile_step(step)
    try:
        values = variables.resolve_variables(compiled.names, recipient)
        return Preview(compiled.message(values, _allowed_links_only(step)))
    except NoCodeAvailable as error:
        return Preview(None, (str(error),))
    except MissingValue as error:
        # HTML and text often lack the same.
        missing = {problem: label for label, problem in reversed([*_missing_values(compiled, values)])}
        texts = tuple(f"{label}: {problem}" for problem, label in reversed(missing.items()))
        return Preview(None, texts or (str(error),))


def answer_names(steps: Iterable[Step]) -> list[str]:
    """Return the names of the answers that the templates of these steps print, in their order."""
    compiled = (part for step in steps for part in _compile_step(step).parts.values())
    return list(dict.fromkeys(name for part in compiled for name in part.answers))


def uses_variable(steps: Iterable[Step], name: str) -> bool:
    """Return whether a template of these steps uses a variable."""
    return any(name in _compile_step(step).names for step in steps)


def problem_texts(step: Step) -> list[str]:
    """Return what is wrong with the templates of a step for every customer, a sentence each."""
    return list(map(str, _compile_step(step).problems))


def step_problems(step: Step) -> Sequence[Problem]:
    """Return what is wrong with the templates of a step for every customer, by part."""
    return _compile_step(step).problems


def _allowed_links_only(step: Step) -> LinkRewriter:
    """Return a rewriter that keeps allowed links and removes the others."""

    def allowed_url(url: str) -> str:
        is_page = url.lower().startswith(("http://", "https://"))
        return "" if is_page and not signed_links.is_allowed(url, step) else url

    return allowed_url


def _example_code(campaign: Campaign | None, customer: Customer, at: datetime) -> str:
    """Return a code to show: the customer's own, or an example."""
    if campaign is None or campaign.pool_id is None:
        raise NoCodeAvailable(coupon_pool.NO_POOL)
    if coupon_pool.has_ended(campaign, at):
        raise NoCodeAvailable(coupon_pool.POOL_ENDED)
    assigned = coupon_pool.assigned_code(campaign, customer)
    if not assigned and not coupon_pool.has_free_code(campaign.pool_id):
        raise NoCodeAvailable(coupon_pool.EMPTY_POOL)
    return assigned or "EXAMPLE-CODE"


# -- The templates of a step


@dataclass(frozen=True)
class _CompiledStep:
    """The compiled templates of a step by part, or its problems."""

    problems: tuple[Problem, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    parts: Mapping[str, CompiledTemplate] = field(default_factory=dict)
    finish_html: Callable[[str], str] = str

    def message(self, values: dict[str, Any], rewrite_link: LinkRewriter) -> OutgoingMessage:
        """Render with these values. Raises MissingValue."""
        rendered = {name: part.render(values) for name, part in self.parts.items()}
        url = rendered.get("url", "").strip()
        if url and not url.lower().startswith(("https://", "http://")):
            raise MissingValue(f"{url!r} is not a web address, such as {shop().url}")
        target = rewrite_link(url) if url else ""
        if url and not target:
            raise MissingValue(
                f"{url!r} is not a page of the shop. Write the link in the template, or add its host to PRODUCT_HOSTS"
            )
        return OutgoingMessage(
            subject=" ".join(rendered.get("subject", "").split()),
            text=link_rewriting.rewrite_text_links(
                html_conversion.collapse_blank_lines(rendered["text"]), rewrite_link
            )
            if "text" in rendered
            else "",
            html=self.finish_html(link_rewriting.rewrite_html_links(rendered["html"].strip(), rewrite_link))
            if "html" in rendered
            else "",
            url=target,
        )


def _compile_step(step: Step) -> _CompiledStep:
    if step.not_converted:
        return _CompiledStep((Problem("text", NOT_CONVERTED.format(step.not_converted)),))
    channel = CHANNELS.get(step.channel)
    return _compile_parts(channel, step.subject, step.text, step.html, step.url)


@lru_cache(maxsize=COMPILED_CACHE_SIZE)
def _compile_parts(
    channel: type[Channel] | None, subject: str, text: str, html: str, url: str
) -> _CompiledStep:
    if channel is None:
        return _CompiledStep((Problem("channel", NO_CHANNEL),))
    sources = {"subject": subject, "text": text, "html": html, "url": url}
    if problems := list(_unreadable_parts(channel, sources)) or list(channel.problems(sources)):
        return _CompiledStep(tuple(problems))
    labels, compiled = {part.name: part.label for part in channel.parts}, dict[str, CompiledTemplate]()
    for name, source in channel.templates(sources).items():
        if not source.strip():
            continue
        try:
            compiled[name] = template_language.compile_template(source, VARIABLES, as_html=name == "html")
        except InvalidTemplate as error:
            if sources[name]:  # a part made from another one has the same problems
                problems += [Problem(name, problem, labels[name]) for problem in error.problems]
    if problems:
        return _CompiledStep(tuple(problems))
    names = frozenset[str]().union(*(template.names for template in compiled.values()))
    return _CompiledStep((), labels, names, compiled, channel.finish_html)


def _unreadable_parts(channel: type[Channel], sources: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the first reason why a template cannot be read at all: it is too long, or a tag is not closed."""
    for part in channel.parts:
        if len(sources[part.name]) > part.max_length:
            yield Problem(part.name, f"longer than {part.max_length:,} characters.", part.label)
            return
        if problem := template_language.tag_problem(sources[part.name]):
            yield Problem(part.name, problem, part.label)
            return


def _missing_values(compiled: _CompiledStep, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, part in compiled.parts.items():
        try:
            part.render(values)
        except MissingValue as error:
            yield compiled.labels[name], str(error)
