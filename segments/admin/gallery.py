"""The gallery of templates: what each is for, how many customers it matches in this shop, and a button to create it."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from kombu.exceptions import OperationalError

from core.admin import audit_log
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions, staff_user
from core.db import time_limits
from customers.admin import contact_data
from segments import disclosure, segment_store, tasks
from segments.evaluation import counting
from segments.lifecycle import editing
from segments.models import Segment
from segments.rules import RuleError, parse
from segments.templates import PURPOSES, TEMPLATES, ParameterError, Template

from . import refresh_requests
from .access import ADD_SEGMENT, VIEW_SEGMENT
from .forms import TemplateForm, rule_error_text
from .free_slugs import free_slug
from .page_context import admin_context
from .texts import count_text, segment_sentence


@dataclass(frozen=True)
class TemplateCard:
    """A template with its form, its rule as a sentence, and the segments made from it."""

    form: TemplateForm
    sentence: str
    existing: list[Segment]

    @property
    def template(self) -> Template:
        return self.form.template

    @property
    def numbers(self) -> str:
        """Return the default parameters in one line."""
        defaults = self.template.defaults().items()
        return " · ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in defaults)


@require_permissions(VIEW_SEGMENT, ADD_SEGMENT)
def gallery_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the templates by purpose. A POST creates a segment from one of them."""
    segments = list(Segment.objects.order_by("pk"))
    taken = {segment.slug for segment in segments}
    chosen = TEMPLATES.get(request.POST.get("template", ""))
    cards = []
    for template in TEMPLATES.values():
        data = request.POST if template is chosen else None
        form = TemplateForm(template, data, slug=free_slug(template.slug, taken))
        if template is chosen and (segment := _create_from_form(form, staff_user(request))):
            created = f"From the template “{template.name}”: {segment_sentence(segment)}."
            audit_log.log_additions(request, [segment], created)
            messages.success(request, f"{segment.name} was created.")
            refresh_requests.queue_after_saving(request, segment)
            return redirect("admin:segments_segment_change", segment.pk)
        existing = [segment for segment in segments if template.slug in (segment.template, segment.slug)]
        cards.append(TemplateCard(form, parse(template.rule()).sentence(), existing))
    context = admin_context(model_admin, request, "Templates") | {
        "groups": [
            (title, [card for card in cards if card.template.purpose == purpose])
            for purpose, title in PURPOSES.items()
        ],
        "missing": sum(slug not in taken for slug in TEMPLATES),
    }
    return TemplateResponse(request, "segments/admin/from_template.html", context)


@require_permissions(VIEW_SEGMENT, ADD_SEGMENT, methods=READ_METHODS)
def template_size_view(model_admin: Any, request: HttpRequest, slug: str) -> HttpResponse:
    """Show the rule with the chosen parameters as a sentence, and how many customers match."""
    template = TEMPLATES.get(slug)
    if template is None:
        raise Http404
    given = request.GET if any(key.startswith(f"{slug}-") for key in request.GET) else None
    form = TemplateForm(template, given, slug=slug)
    context: dict[str, Any] = {"template": template}
    if given and (errors := form.parameter_errors()):
        return TemplateResponse(request, "segments/admin/template_size.html", context | {"errors": errors})
    rule = parse(template.rule(**form.parameters()) if given else template.rule())
    context["sentence"] = rule.sentence()
    try:
        if not contact_data.may_see(request):
            disclosure.check_exposure(rule)
        context["counted"] = counting.count_matching(rule)
    except RuleError as error:
        context["errors"] = [rule_error_text(error)]
    except time_limits.StatementTimeout:
        context["took_too_long"] = True
    return TemplateResponse(request, "segments/admin/template_size.html", context)


@require_permissions(VIEW_SEGMENT, ADD_SEGMENT, methods=WRITE_METHODS)
def install_missing_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Create the ready-to-use segments that do not exist yet, and set up the lifecycle."""
    by = staff_user(request)
    try:
        with transaction.atomic():
            created = [*segment_store.install_templates(by=by), *editing.set_up_lifecycle(by=by)]
    except ValidationError:  # the same button was pressed twice
        created = []
    audit_log.log_additions(request, created, "Installed as a ready-to-use segment.")
    with suppress(OperationalError):  # without Redis, the schedule of every minute refreshes them
        tasks.refresh_all.delay()
    if created:
        counted = count_text(len(created), "ready-to-use segment")
        messages.success(request, f"Created {counted}. Their members are found within moments.")
    else:
        messages.info(request, "All ready-to-use segments exist already.")
    return redirect("admin:index" if "first_day" in request.POST else "admin:segments_segment_changelist")


def _create_from_form(form: TemplateForm, by: User) -> Segment | None:
    if not form.is_valid():
        return None
    given = form.cleaned_data
    try:
        return segment_store.create_from_template(
            form.template, slug=given["slug"], name=given["name"], by=by, **form.parameters()
        )
    except (ParameterError, RuleError) as error:
        form.add_error(None, rule_error_text(error) if isinstance(error, RuleError) else str(error))
    except ValidationError as error:
        taken = Segment.objects.filter(slug=given["slug"]).exists()
        form.add_error(
            "slug",
            "Another segment has this slug. Choose another one." if taken else " ".join(error.messages),
        )
    return None
