"""Ways to a new segment beside the form: from a template, from ids, from the members of another."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from segments import definition
from segments.models import SLUG_LENGTH, Segment
from segments.rules import RuleError, parse
from segments.templates import TEMPLATES, ParameterError

from .access import ADD, SEE, SEE_CUSTOMERS, WRITE, needs, person
from .forms import NameForm, NewListForm, TemplateForm, told
from .members import warn_of_unknown
from .pages import ours


@needs(SEE, ADD)
def from_template(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the templates, each with its parameters; create the segment of the one that was sent."""
    taken = dict(Segment.objects.values_list("slug", "pk"))
    chosen = TEMPLATES.get(request.POST.get("template", ""))
    forms = []
    for template in TEMPLATES.values():
        data = request.POST if template is chosen else None
        form = TemplateForm(template, data, slug=_free(template.slug, taken))
        if template is chosen and (segment := _created(form, person(request))):
            messages.success(
                request, f"{segment.name} was created. Refresh it now, or wait for the schedule to do so."
            )
            return redirect("admin:segments_segment_change", segment.pk)
        forms.append((form, parse(template.rule()).sentence(), taken.get(template.slug)))
    missing = sum(slug not in taken for slug in TEMPLATES)
    context = ours(model_admin, request, "Start from a template") | {"forms": forms, "missing": missing}
    return TemplateResponse(request, "segments/admin/from_template.html", context)


def _created(form: TemplateForm, by: User) -> Segment | None:
    if not form.is_valid():
        return None
    try:
        return definition.from_template(
            form.template, slug=form.cleaned_data["slug"], by=by, **form.parameters()
        )
    except (ParameterError, RuleError) as error:
        form.add_error(None, told(error) if isinstance(error, RuleError) else str(error))
    except ValidationError as error:
        taken = Segment.objects.filter(slug=form.cleaned_data["slug"]).exists()
        form.add_error(
            "slug", "There is a segment of this slug; choose another." if taken else " ".join(error.messages)
        )
    return None


@needs(SEE, ADD, methods=WRITE)
def install_templates(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Create the ready-to-use segments that do not exist yet."""
    created = definition.install(by=person(request))
    messages.success(
        request, f"{len(created)} ready-to-use segments were created; the next refresh fills them."
    )
    return redirect("admin:segments_segment_changelist")


@needs(SEE, ADD, SEE_CUSTOMERS)
def fixed_list(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Create a fixed list of the customers whose ids are given."""
    form = NewListForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            segment = definition.create_static(
                given["slug"],
                given["name"],
                given["keys"],
                datetime.now(UTC),
                description=given["description"],
            )
        except ValidationError as error:
            form.add_refusal(error)
        else:
            messages.success(request, f"{segment.name} was created with {segment.size:,} members.")
            warn_of_unknown(request, given["unknown"])
            return redirect("admin:segments_segment_members", segment.pk)
    context = ours(model_admin, request, "New fixed list")
    context |= {"form": form, "button": "Create the list", "is_upload": True}
    return TemplateResponse(request, "segments/admin/form.html", context)


@needs(SEE, ADD)
def freeze(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Create a fixed list of the members a segment has now."""
    segment = get_object_or_404(Segment, pk=pk)
    today = timezone.localdate()
    form = NameForm(
        request.POST or None,
        initial={
            "name": f"{segment.name[:180]}, {today.day} {today:%b %Y}",
            "slug": f"{segment.slug[: SLUG_LENGTH - 11]}-{today.isoformat()}",
        },
    )
    if request.method == "POST" and form.is_valid():
        try:
            frozen = definition.freeze(
                segment, form.cleaned_data["slug"], form.cleaned_data["name"], datetime.now(UTC)
            )
        except ValidationError as error:
            form.add_refusal(error)
        else:
            messages.success(request, f"{frozen.name} was created with {frozen.size:,} members.")
            return redirect("admin:segments_segment_change", frozen.pk)
    context = ours(model_admin, request, f"Freeze {segment.name}", segment)
    context |= {
        "form": form,
        "button": "Freeze as a fixed list",
        "told": f"The list keeps the {segment.size:,} members that {segment.name} has now, whatever it asks later.",
    }
    return TemplateResponse(request, "segments/admin/form.html", context)


def _free(slug: str, taken: Iterable[str]) -> str:
    """Give the slug, or the first numbered one that nobody has."""
    names = set(taken)
    number = 2
    free = slug
    while free in names:
        free = f"{slug}-{number}"
        number += 1
    return free
