"""Creating, editing and deleting segments. Only this module writes their names, rules and versions."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from core.values.text_cleaning import to_nfc
from customers.models import Customer, Identity

from . import references
from .models import SLUG_IS_TAKEN, Segment, Version
from .models.membership import Change, Membership
from .refresh.write import lock_members, set_list_members
from .rules import RuleError, parse
from .templates import TEMPLATES, Template

EXPORTED_FIELDS = ("slug", "name", "description", "rule")


class SegmentInUse(ProtectedError):
    """A segment cannot be deleted while other objects refer to it."""


def save_segment(segment: Segment, *, by: User | str | None = None) -> Segment:
    """Save a new or edited segment with a rule. An edit of the rule creates a new version.

    ``by`` is a user, or the name of a program. Raises RuleError if the rule is invalid, and ValidationError if another
    field is invalid.
    """
    rule = parse(segment.rule)
    with transaction.atomic():
        before = _check_names(segment)
        references.check_references({segment.slug: rule})
        fields = ("slug", "name", "description", "is_active", "is_public", "template", "template_parameters")
        _write_segment(segment, before, fields, by)
    return segment


def restore_version(version: Version, *, by: User | None = None) -> Segment:
    """Save the rule of a former version as a new version. Raise the errors of ``save_segment``."""
    with transaction.atomic():
        segment = Segment.objects.select_for_update().get(pk=version.segment_id)
        segment.rule = version.rule
        return save_segment(segment, by=by)


def _write_segment(
    segment: Segment, before: Segment | None, fields: Iterable[str], by: User | str | None
) -> None:
    """Write a segment: all of a new one, of another one only these fields and its rule. Store a new version."""
    is_edited = before is not None and before.rule != segment.rule
    if is_edited and before is not None:
        segment.version, segment.retry_at = before.version + 1, None
    # The fields that a refresh writes are not overwritten.
    written = [*fields, "rule", "version", "retry_at", "updated_at"] if before else None
    with _unique_slug():
        segment.save(update_fields=written)
    if before is None or is_edited:
        Version.objects.create(
            segment=segment,
            number=segment.version,
            rule=segment.rule,
            saved_at=segment.updated_at,
            saved_by=by if isinstance(by, User) else None,
            saved_by_name=(by.get_username() if isinstance(by, User) else by or "")[:150],
        )


@contextmanager
def _unique_slug() -> Iterator[None]:
    """Raise ValidationError if a concurrent transaction has used the same slug."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise ValidationError({"slug": SLUG_IS_TAKEN}) from None


def save_fixed_list(segment: Segment) -> Segment:
    """Save slug, name, description and ``is_public`` of a fixed list. Raises ValidationError if one is invalid."""
    with transaction.atomic():
        _check_names(segment)
        with _unique_slug():
            segment.save(update_fields=["slug", "name", "description", "is_public", "updated_at"])
    return segment


def _check_names(segment: Segment) -> Segment | None:
    """Validate the fields, lock the stored segment and return it. Raises ValidationError.

    A slug cannot be changed while rules refer to it.
    """
    segment.full_clean(exclude=["rule"])
    before = Segment.objects.select_for_update().filter(pk=segment.pk).first() if segment.pk else None
    if before and before.slug != segment.slug and (users := references.referring_segments(before.slug)):
        names = ", ".join(user.slug for user in users)
        raise ValidationError({"slug": f"The rules of {names} refer to {before.slug}. Change them first."})
    return before


def delete_segments(segments: Iterable[Segment]) -> None:
    """Delete segments. Raises SegmentInUse, which names the objects, if others refer to them."""
    chosen = list(segments)
    slugs = {segment.slug for segment in chosen}
    with transaction.atomic():
        lock_members()
        for segment in chosen:
            users = [user for user in references.referring_segments(segment.slug) if user.slug not in slugs]
            if users:
                names = ", ".join(user.slug for user in users)
                raise SegmentInUse(
                    f"{segment.slug} cannot be deleted: the rules of {names} refer to it", set(users)
                )
        for segment in chosen:
            try:
                segment.delete()
            except ProtectedError as error:
                protecting = error.protected_objects
                names = ", ".join(f"the {user._meta.verbose_name} {user}" for user in _first(protecting))
                raise SegmentInUse(
                    f"{segment.slug} cannot be deleted: it is used by {names}", protecting
                ) from None


def _first(objects: Iterable[Any], limit: int = 5) -> list[Any]:
    return sorted(objects, key=str)[:limit]


def install_templates(
    templates: Iterable[Template] = TEMPLATES.values(), *, by: User | None = None
) -> list[Segment]:
    """Create the ready-to-use segments that do not exist yet; return the new ones."""
    with transaction.atomic():
        existing = set(Segment.objects.values_list("slug", flat=True))
        return [
            create_from_template(template, by=by) for template in templates if template.slug not in existing
        ]


def create_from_template(
    template: Template, *, slug: str = "", name: str = "", by: User | None = None, **parameters: float
) -> Segment:
    """Create a segment from a template. Raises ParameterError if a parameter is invalid."""
    return save_segment(
        Segment(
            slug=slug or template.slug,
            name=name or template.name,
            description=template.description,
            rule=template.rule(**parameters),
            template=template.slug,
            template_parameters=template.defaults() | parameters,
        ),
        by=by,
    )


def create_fixed_list(
    slug: str, name: str, customers: Iterable[int], at: datetime, *, description: str = ""
) -> Segment:
    """Create a fixed list with these customers."""
    with transaction.atomic():
        segment = Segment(slug=slug, name=name, description=description, kind=Segment.Kind.STATIC)
        segment.full_clean()
        with _unique_slug():
            segment.save()
        set_list_members(segment, customers, at, Change.Cause.INITIAL)
    segment.refresh_from_db()
    return segment


def create_fixed_list_of_members(segment: Segment, slug: str, name: str, at: datetime) -> Segment:
    """Create a fixed list with the present members of a segment."""
    members = Membership.objects.filter(segment=segment).values_list("customer_id", flat=True)
    return create_fixed_list(
        slug, name, members, at, description=f"The members of {segment.name}, kept as they were."
    )


def find_customers(ids: Iterable[str]) -> tuple[list[int], list[str]]:
    """Find customers by their own or public ids; return their keys, and the ids that no customer has."""
    wanted = {to_nfc(given.strip()) for given in ids} - {""}
    found: dict[str, int] = {}
    listed = sorted(wanted)
    for start in range(0, len(listed), 10_000):
        part = listed[start : start + 10_000]
        identities = Identity.objects.filter(kind=Identity.Kind.CUSTOMER_ID, value__in=part)
        found |= dict(identities.values_list("value", "customer_id"))
        by_public_id = Customer.objects.existing().filter(customer_id__in=part)
        found |= dict(by_public_id.values_list("customer_id", "pk"))
    return list(found.values()), sorted(wanted - found.keys())


def export_segments(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """Return segments with a rule as JSON objects, to keep them in version control."""
    return [
        {name: getattr(segment, name) for name in EXPORTED_FIELDS}
        for segment in segments
        if segment.is_dynamic
    ]


def import_segments(given: Any) -> tuple[list[Segment], list[Segment]]:
    """Create or update all segments of an export, by slug; return the created and the updated ones.

    Raises RuleError with the place in the list, such as ``[2].rule.all[0]…``. Then nothing is imported.
    """
    if not isinstance(given, list):
        raise RuleError("", "expected a list of segments: [{slug, name, description, rule}]")
    created: list[Segment] = []
    updated: list[Segment] = []
    rules = {}
    for place, item in enumerate(given):
        slug = _check_fields(item, place)
        rules[slug] = _with_place(place, lambda item=item: parse(item["rule"]))
    if len(rules) < len(given):
        raise RuleError("", "contains a slug twice")
    with transaction.atomic():
        references.check_references(rules)
        for place, item in enumerate(given):
            segment = Segment.objects.filter(slug=item["slug"]).first() or Segment(slug=item["slug"])
            if not segment.is_dynamic:
                raise RuleError(f"[{place}].slug", f"{segment.slug} is a fixed list and has no rule")
            same = all(getattr(segment, name) == item.get(name, "") for name in EXPORTED_FIELDS)
            if segment.pk and same:
                continue
            is_new = segment.pk is None
            segment.name, segment.rule = item["name"], item["rule"]
            segment.description = item.get("description", "")
            _with_place(place, lambda segment=segment: _write_imported(segment))
            (created if is_new else updated).append(segment)
    return created, updated


def _write_imported(segment: Segment) -> None:
    segment.full_clean(exclude=["rule"])
    before = Segment.objects.select_for_update().get(pk=segment.pk) if segment.pk else None
    _write_segment(segment, before, ("name", "description"), by=None)


def _check_fields(item: Any, place: int) -> str:
    if not isinstance(item, Mapping):
        raise RuleError(f"[{place}]", "expected an object with slug, name, description and rule")
    for name in ("slug", "name", "rule"):
        if name not in item:
            raise RuleError(f"[{place}].{name}", "missing")
    for name in ("slug", "name", "description"):
        if not isinstance(item.get(name, ""), str):
            raise RuleError(f"[{place}].{name}", "expected a text")
        if re.search("[\x00\ud800-\udfff]", item.get(name, "")):
            raise RuleError(
                f"[{place}].{name}", "contains an invalid character (NUL, or half of a surrogate pair)"
            )
    unknown = sorted(item.keys() - set(EXPORTED_FIELDS))
    if unknown:
        raise RuleError(f"[{place}].{unknown[0]}", f"is not a field; expected {', '.join(EXPORTED_FIELDS)}")
    return str(item["slug"])


def _with_place(place: int, act: Any) -> Any:
    try:
        return act()
    except RuleError as error:
        raise RuleError(f"[{place}].{error.path}", error.message) from None
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise RuleError(f"[{place}].{name}", " ".join(messages)) from None


def parse_json(text: str) -> Any:
    """Parse JSON written by a person. Raises RuleError with the place of the error."""
    try:
        return json.loads(text)
    except RecursionError:
        raise RuleError("", "nested too deeply") from None
    except ValueError as error:
        raise RuleError("", f"is not JSON: {error}") from None
