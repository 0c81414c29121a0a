"""The forms of segments: rules as JSON, fixed lists as ids, templates with their parameters."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import FileExtensionValidator
from django.db import transaction
from django.utils.text import slugify
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from segments import disclosure, segment_store
from segments.models import SLUG_IS_TAKEN, SLUG_LENGTH, Segment
from segments.rules import RuleError, parse
from segments.templates import Parameter, Template

from .editor import RuleEditorWidget

MAX_FILE_BYTES = 20 * 1024 * 1024


class RuleField(forms.CharField):
    """A rule as JSON text, read by the rule language itself."""

    widget = RuleEditorWidget

    def prepare_value(self, value: Any) -> Any:
        """Lay a stored rule out for reading; what somebody typed stays as typed."""
        return value if value is None or isinstance(value, str) else _formatted_json(value)

    def to_python(self, value: Any) -> Any:
        """Read the JSON."""
        text = super().to_python(value)
        if text in self.empty_values:
            return text
        with _rule_errors_as_form_errors():
            return segment_store.parse_json(str(text))

    def validate(self, value: Any) -> None:
        """Refuse a rule with the path of what is wrong."""
        super().validate(value)
        with _rule_errors_as_form_errors():
            parse(value)

    def run_validators(self, value: Any) -> None:
        """Validators of text have no say over JSON; the rule language refuses NUL itself."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare rules, not their layout."""
        try:
            return bool(initial != self.to_python(data))
        except ValidationError:
            return True


@contextmanager
def _rule_errors_as_form_errors() -> Iterator[None]:
    """Turn a RuleError into the form's own kind of error."""
    try:
        yield
    except RuleError as error:
        raise ValidationError(rule_error_text(error)) from None


def rule_error_text(error: RuleError) -> str:
    """Write a rule's error with its path, where it has one."""
    return f"{error.path or 'rule'}: {error.message}"


def _formatted_json(rule: Any) -> str:
    return json.dumps(rule, indent=2, ensure_ascii=False)


class SegmentForm(forms.ModelForm):
    """A segment by rule, tried out before the form says that it is valid."""

    rule = RuleField(label="Who is in")
    sees_contact = False
    """Whether the person may see contact data; the admin says so."""

    class Meta:
        """What staff decide."""

        model = Segment
        fields: tuple[str, ...] = ("name", "slug", "description", "rule", "is_active", "is_public")
        widgets = {"description": UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def save_for_good(self, segment: Segment, by: User | None = None) -> None:
        """Save through the segment's only writer."""
        segment_store.save_segment(segment, by=by)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            if not self.sees_contact and "rule" in self.changed_data:
                disclosure.check_exposure(parse(self.cleaned_data["rule"]))
            with transaction.atomic():
                self.save_for_good(copy(self.instance))
                transaction.set_rollback(True)
        except RuleError as error:
            self.add_error("rule", rule_error_text(error))
        except ValidationError as error:
            self.add_error(None, error)


class FixedListForm(SegmentForm):
    """A fixed list: it has no rule, and nothing refreshes it."""

    rule = None  # type: ignore[assignment]

    class Meta(SegmentForm.Meta):
        """What staff decide."""

        fields: tuple[str, ...] = ("name", "slug", "description", "is_public")

    def save_for_good(self, segment: Segment, by: User | None = None) -> None:
        """Save through the lists' writer; a list has no versions."""
        segment_store.save_fixed_list(segment)


class CustomerIdsForm(forms.Form):
    """Customers by their ids, pasted or in a file."""

    ids = forms.CharField(
        label="Customer ids",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 10, "spellcheck": "false"}),
        help_text="One a line.",
    )
    file = forms.FileField(
        label="Or a file",
        required=False,
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt"}),
        validators=[FileExtensionValidator(["csv", "txt"])],
        help_text="Text with one id a line, or CSV with a column customer_id (else its first column is taken).",
    )

    def clean_file(self) -> list[str]:
        """Read the ids of the file."""
        file = self.cleaned_data.get("file")
        return _ids_in_file(file) if file else []

    def clean(self) -> dict[str, Any]:
        """Look for the customers: ``keys`` are those found, ``unknown`` the ids nobody has."""
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        given = [line for line in cleaned["ids"].splitlines() if line.strip()] + cleaned["file"]
        if not given:
            raise ValidationError("Paste ids or choose a file.")
        keys, unknown = segment_store.find_customers(given)
        if not keys:
            raise ValidationError(f"No customer has {ids_text(unknown)}.")
        return cleaned | {"keys": keys, "unknown": unknown}


def ids_text(ids: list[str], most: int = 20) -> str:
    """Name ids, the first of them where there are many."""
    first = ", ".join(one[:100] for one in ids[:most])
    word = "the id" if len(ids) == 1 else "the ids"
    return f"{word} {first}" + (f" and {len(ids) - most:,} more" if len(ids) > most else "")


def _ids_in_file(file: UploadedFile) -> list[str]:
    if file.size is None or file.size > MAX_FILE_BYTES:
        raise ValidationError(f"The file is larger than {MAX_FILE_BYTES // 1024**2} MB.")
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValidationError("The file is not UTF-8; save it as “CSV UTF-8”.") from None
    if "\x00" in text:
        raise ValidationError("The file holds NUL characters; it is no text.")
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise ValidationError(f"The file cannot be read as CSV: {error}.") from None
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0]]
    column = header.index("customer_id") if "customer_id" in header else None
    if column is None:
        return [row[0] for row in rows]
    return [row[column] for row in rows[1:] if len(row) > column]


class NameForm(forms.Form):
    """A name and a slug for a segment to be created."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget())
    slug = forms.CharField(
        required=False,
        max_length=SLUG_LENGTH,
        widget=UnfoldAdminTextInputWidget(),
        help_text="The name by which rules, the API and commands refer to it: letters, digits, - and _."
        " Left empty, it is made from the name.",
    )

    def clean(self) -> dict[str, Any]:
        """Make the slug from the name where none is given."""
        cleaned = super().clean() or {}
        return cleaned | {"slug": cleaned.get("slug") or slugify(cleaned.get("name", ""))[:SLUG_LENGTH]}

    def add_refusal(self, error: ValidationError) -> None:
        """Show what the writer has refused, beside the field where it has one."""
        for field, messages in error.message_dict.items():
            for message in messages:
                self.add_error(field if field in self.fields else None, message)


class NewFixedListForm(NameForm, CustomerIdsForm):
    """A fixed list to be created."""

    description = forms.CharField(
        required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), max_length=2_000
    )
    field_order = ("name", "slug", "description", "ids", "file")


class ChooseFixedListForm(forms.Form):
    """The fixed list that customers are put on."""

    segment = forms.ModelChoiceField(
        Segment.objects.filter(kind=Segment.Kind.STATIC), label="Fixed list", widget=UnfoldAdminSelectWidget()
    )


class TemplateForm(forms.Form):
    """A template's parameters, within their bounds, and the name and slug of the new segment."""

    def __init__(self, template: Template, data: Any = None, *, slug: str) -> None:
        super().__init__(data, prefix=template.slug)
        self.template = template
        for name, parameter in template.parameters.items():
            self.fields[name] = _number_field(name, parameter)
        self.fields["name"] = forms.CharField(
            max_length=200, required=False, initial=template.name, widget=UnfoldAdminTextInputWidget()
        )
        self.fields["slug"] = forms.SlugField(
            max_length=SLUG_LENGTH,
            initial=slug,
            widget=UnfoldAdminTextInputWidget(),
            help_text="The name by which rules, the API and commands refer to it.",
        )

    def clean_slug(self) -> str:
        """Ask for another slug where there is a segment of this one."""
        slug = str(self.cleaned_data["slug"])
        if Segment.objects.filter(slug=slug).exists():
            raise ValidationError(SLUG_IS_TAKEN)
        return slug

    def parameters(self) -> dict[str, float]:
        """Give the chosen parameters."""
        return {name: self.cleaned_data[name] for name in self.template.parameters}

    def mistakes(self) -> list[str]:
        """Say what is wrong with the parameters."""
        return [
            f"{self[name].label}: {' '.join(map(str, self.errors[name]))}"
            for name in self.template.parameters
            if name in self.errors
        ]


def _number_field(name: str, parameter: Parameter) -> forms.Field:
    kind: Any = forms.IntegerField if parameter.whole else forms.FloatField
    widget = UnfoldAdminIntegerFieldWidget if parameter.whole else UnfoldAdminDecimalFieldWidget
    attrs = {} if parameter.whole else {"step": "any"}
    return kind(
        label=name.replace("_", " ").capitalize(),
        initial=parameter.default,
        min_value=parameter.least,
        max_value=parameter.most,
        help_text=parameter.help,
        widget=widget(attrs=attrs),
    )
