"""The forms of segments: rules, fixed lists, and templates with their parameters."""

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

from segments import disclosure, labels, segment_store
from segments.models import MAX_TAG_LENGTH, SLUG_IS_TAKEN, SLUG_LENGTH, Segment
from segments.rules import RuleError, parse
from segments.templates import Parameter, Template

from .editor import RuleEditorWidget

MAX_FILE_BYTES = 20 * 1024 * 1024


class RuleField(forms.CharField):
    """A rule as JSON text, validated by the rule language."""

    widget = RuleEditorWidget

    def prepare_value(self, value: Any) -> Any:
        """Format a stored rule. Text that was typed stays as it is."""
        return value if value is None or isinstance(value, str) else _formatted_json(value)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if text in self.empty_values:
            return text
        with _rule_errors_as_form_errors():
            return segment_store.parse_json(str(text))

    def validate(self, value: Any) -> None:
        """Reject an invalid rule, with the path of the error."""
        super().validate(value)
        with _rule_errors_as_form_errors():
            parse(value)

    def run_validators(self, value: Any) -> None:
        """Skip the validators of text: the value is JSON, and the rule language rejects NUL itself."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the rules, not their formatting."""
        try:
            return bool(initial != self.to_python(data))
        except ValidationError:
            return True


@contextmanager
def _rule_errors_as_form_errors() -> Iterator[None]:
    """Raise ValidationError in place of RuleError."""
    try:
        yield
    except RuleError as error:
        raise ValidationError(rule_error_text(error)) from None


def rule_error_text(error: RuleError) -> str:
    """Return the message of a rule's error, with its path."""
    return f"{error.path or 'rule'}: {error.message}"


def _formatted_json(rule: Any) -> str:
    return json.dumps(rule, indent=2, ensure_ascii=False)


class SegmentForm(forms.ModelForm):
    """A segment by rule. Validation saves it and rolls back, so the writer's errors appear in the form."""

    rule = RuleField(label="Who is in")
    tags = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Words to find the segment by, separated by commas: vip, 2026.",
    )
    sees_contact = False
    """Whether the person may see contact data. Set by the admin."""

    class Meta:
        model = Segment
        fields: tuple[str, ...] = ("name", "slug", "description", "rule", "tags", "is_active", "is_public")
        widgets = {"description": UnfoldAdminTextareaWidget(attrs={"rows": 2})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None and "name" in self.fields:
            self.fields["name"].widget.attrs["autofocus"] = True
        if self.instance.pk:
            self.initial["tags"] = tags_text(self.instance)

    def clean_tags(self) -> str:
        """Return the tags as they are stored, or reject a long one."""
        tags = labels.parse_tags(self.cleaned_data["tags"])
        if long := next((tag for tag in tags if len(tag) > MAX_TAG_LENGTH), ""):
            raise ValidationError(f"“{long[:MAX_TAG_LENGTH]}…” is longer than {MAX_TAG_LENGTH} characters.")
        return ", ".join(tags)

    def save_tags(self, segment: Segment) -> None:
        labels.set_tags(segment, labels.parse_tags(self.cleaned_data["tags"]))

    def save_segment(self, segment: Segment, by: User | None = None) -> None:
        """Save through ``segment_store``."""
        segment_store.save_segment(segment, by=by)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            if not self.sees_contact and "rule" in self.changed_data:
                disclosure.check_exposure(parse(self.cleaned_data["rule"]))
            with transaction.atomic():
                self.save_segment(copy(self.instance))
                transaction.set_rollback(True)
        except RuleError as error:
            self.add_error("rule", rule_error_text(error))
        except ValidationError as error:
            self.add_error(None, error)


def tags_text(segment: Segment) -> str:
    """Return the tags of a segment, as they are typed."""
    return ", ".join(sorted((tag.name for tag in segment.tags.all()), key=str.casefold))


class FixedListForm(SegmentForm):
    """A fixed list. It has no rule and is never refreshed."""

    rule = None  # type: ignore[assignment]

    class Meta(SegmentForm.Meta):
        fields: tuple[str, ...] = ("name", "slug", "description", "tags", "is_public")

    def save_segment(self, segment: Segment, by: User | None = None) -> None:
        """Save name and description. A fixed list has no versions."""
        segment_store.save_fixed_list(segment)


class CustomerIdsForm(forms.Form):
    """Customer ids, pasted or in a file."""

    ids = forms.CharField(
        label="Customer ids",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 10, "spellcheck": "false"}),
        help_text="One id per line.",
    )
    file = forms.FileField(
        label="Or a file",
        required=False,
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt"}),
        validators=[FileExtensionValidator(["csv", "txt"])],
        help_text="A text file with one id per line, or a CSV file. Its column customer_id is used, or else the first.",
    )

    def clean_file(self) -> list[str]:
        file = self.cleaned_data.get("file")
        return _ids_in_file(file) if file else []

    def clean(self) -> dict[str, Any]:
        """Find the customers. ``keys`` are their primary keys, ``unknown`` the ids that no customer has."""
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        given = [line for line in cleaned["ids"].splitlines() if line.strip()] + cleaned["file"]
        if not given:
            raise ValidationError("Paste ids or choose a file.")
        keys, unknown = segment_store.find_customers(given)
        if not keys:
            raise ValidationError(f"There is no customer with {ids_text(unknown)}.")
        return cleaned | {"keys": keys, "unknown": unknown}


def ids_text(ids: list[str], most: int = 20) -> str:
    """Return ids as text, the first ``most`` of them."""
    first = ", ".join(one[:100] for one in ids[:most])
    word = "the id" if len(ids) == 1 else "the ids"
    return f"{word} {first}" + (f" and {len(ids) - most:,} more" if len(ids) > most else "")


def _ids_in_file(file: UploadedFile) -> list[str]:
    if file.size is None or file.size > MAX_FILE_BYTES:
        raise ValidationError(f"The file is larger than {MAX_FILE_BYTES // 1024**2} MB.")
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValidationError("The file is not in UTF-8. Save it as “CSV UTF-8” and try again.") from None
    if "\x00" in text:
        raise ValidationError("The file contains NUL characters, so it is not a text file.")
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
    """The name and slug of a new segment."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget())
    slug = forms.CharField(
        required=False,
        max_length=SLUG_LENGTH,
        widget=UnfoldAdminTextInputWidget(),
        help_text="The name that rules, the API and commands use for the segment: letters, digits, - and _."
        " If you leave it empty, it is made from the name.",
    )

    def clean(self) -> dict[str, Any]:
        """Make the slug from the name if it is empty."""
        cleaned = super().clean() or {}
        return cleaned | {"slug": cleaned.get("slug") or slugify(cleaned.get("name", ""))[:SLUG_LENGTH]}

    def add_writer_errors(self, error: ValidationError) -> None:
        """Show the writer's errors, next to their fields if the form has them."""
        for field, messages in error.message_dict.items():
            for message in messages:
                self.add_error(field if field in self.fields else None, message)


class NewFixedListForm(NameForm, CustomerIdsForm):
    """A new fixed list."""

    description = forms.CharField(
        required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), max_length=2_000
    )
    field_order = ("name", "slug", "description", "ids", "file")


class ChooseFixedListForm(forms.Form):
    """The fixed list to add customers to."""

    segment = forms.ModelChoiceField(
        Segment.objects.filter(kind=Segment.Kind.STATIC), label="Fixed list", widget=UnfoldAdminSelectWidget()
    )


class TemplateForm(forms.Form):
    """The parameters of a template, and the name and slug of the new segment."""

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
            help_text="The name that rules, the API and commands use for the segment.",
        )

    def clean_slug(self) -> str:
        """Reject a slug that another segment has."""
        slug = str(self.cleaned_data["slug"])
        if Segment.objects.filter(slug=slug).exists():
            raise ValidationError(SLUG_IS_TAKEN)
        return slug

    def parameters(self) -> dict[str, float]:
        return {name: self.cleaned_data[name] for name in self.template.parameters}

    def parameter_errors(self) -> list[str]:
        """Return the errors of the parameters, as texts."""
        return [
            f"{self[name].label}: {' '.join(map(str, self.errors[name]))}"
            for name in self.template.parameters
            if name in self.errors
        ]


def _number_field(name: str, parameter: Parameter) -> forms.Field:
    kind: Any = forms.IntegerField if parameter.is_whole else forms.FloatField
    widget = UnfoldAdminIntegerFieldWidget if parameter.is_whole else UnfoldAdminDecimalFieldWidget
    attrs = {} if parameter.is_whole else {"step": "any"}
    return kind(
        label=name.replace("_", " ").capitalize(),
        initial=parameter.default,
        min_value=parameter.minimum,
        max_value=parameter.maximum,
        help_text=parameter.help,
        widget=widget(attrs=attrs),
    )
