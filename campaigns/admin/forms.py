"""The forms of a campaign and its steps. Texts are checked before they are saved."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from django import forms
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from campaigns.channels.base import Part, part_labels
from campaigns.channels.registry import CHANNELS, channel_choices
from campaigns.messages import blocks, rendering
from campaigns.messages.blocks import InvalidBlocks
from campaigns.models import Campaign, Step
from segments.future_segments import LEFT, MAX_SPAN, MIN_SPAN

from . import early_start, texts
from .duration_field import DurationWithUnitField

MAX_STEPS: Final = 20
INPUT_CSS_CLASSES: Final = " ".join(INPUT_CLASSES)
MESSAGE_PARTS: Final = ("subject", "text", "html", "url")
"""The columns of ``Step`` that hold the parts of a message, in the order of the form."""


class CampaignForm(forms.ModelForm):
    repeats_every = DurationWithUnitField(
        label="Repeat every", required=False, min_duration=timedelta(days=1), help_text="At least one day."
    )
    before = DurationWithUnitField(
        label="So long before",
        required=False,
        min_duration=MIN_SPAN,
        help_text="Start so long before the customer would enter or leave, if nothing more is recorded; up to 90"
        " days. Leave empty to start when it happens.",
    )
    reentry_after = DurationWithUnitField(
        label="Again after",
        required=False,
        help_text="How long after the start a customer can start again. Leave empty for never.",
    )

    class Meta:
        model = Campaign
        fields = (
            *(
                "name",
                "trigger",
                "starts_at",
                "repeats_every",
                "include_current_members",
                "include_bulk_entries",
                "reentry_after",
            ),
            *("exit_when_not_member", "ends_with_order", "quiet_from", "quiet_until", "pool"),
        )
        labels = {
            "starts_at": "Date and time",
            "quiet_from": "Quiet from",
            "quiet_until": "Quiet until",
            "pool": "Coupon codes",
        }
        help_texts = {
            "starts_at": "In the shop's time zone. Leave empty to send when the campaign starts.",
            "quiet_from": "In the customer's time zone. Nothing is sent from this time …",
            "quiet_until": "… until this time. Leave both empty to send at any hour.",
            "pool": "The pool that each customer's code comes from.",
        }
        widgets = {
            "name": UnfoldAdminTextInputWidget,
            "trigger": UnfoldAdminSelectWidget,
            "pool": UnfoldAdminSelectWidget,
            "starts_at": forms.DateTimeInput(
                {"type": "datetime-local", "class": INPUT_CSS_CLASSES}, format="%Y-%m-%dT%H:%M"
            ),
            "quiet_from": forms.TimeInput({"type": "time", "class": INPUT_CSS_CLASSES}, format="%H:%M"),
            "quiet_until": forms.TimeInput({"type": "time", "class": INPUT_CSS_CLASSES}, format="%H:%M"),
            "include_current_members": UnfoldBooleanWidget,
            "include_bulk_entries": UnfoldBooleanWidget,
            "exit_when_not_member": UnfoldBooleanWidget,
            "ends_with_order": UnfoldBooleanWidget,
        }

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._offer_early_start()
        # After the start, the present members have started already or never will.
        self.fields["include_current_members"].disabled = self.instance.state != Campaign.State.DRAFT

    def _offer_early_start(self) -> None:
        """Show how long before a change a draft starts. After the start, and for a fixed list, there is no choice."""
        subject = early_start.segment_that_changes(self.instance)
        if self.instance.state != Campaign.State.DRAFT or not early_start.has_future(subject):
            del self.fields["before"]
        elif change := texts.early_change(self.instance):
            self.initial["before"] = change.span
            if change.kind == LEFT:
                self.initial["trigger"] = Campaign.Trigger.LEAVES

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if before := given.get("before"):
            if before > MAX_SPAN:
                self.add_error("before", "Enter at most 90 days.")
            elif given.get("trigger") not in (Campaign.Trigger.ENTERS, Campaign.Trigger.LEAVES):
                self.add_error(
                    "before", "Leave this empty for a date, or start when a customer enters or leaves."
                )
        if (
            given.get("trigger") == Campaign.Trigger.EVERY
            and not given.get("repeats_every")
            and "repeats_every" not in self.errors
        ):
            self.add_error("repeats_every", "Enter how often the campaign repeats.")
        empty = [name for name in ("quiet_from", "quiet_until") if name in given and given[name] is None]
        if len(empty) == 1:
            self.add_error(empty[0], "Quiet hours need a start and an end.")
        return given


class StepForm(forms.ModelForm):
    """One step. The channels declare which parts its message has."""

    channel = forms.ChoiceField(choices=channel_choices, widget=UnfoldAdminSelectWidget)
    wait = DurationWithUnitField(
        label="Wait",
        help_text="After the start, or after the previous step. 0 means immediately.",
        required=False,
    )

    class Meta:
        model = Step
        fields = ("channel", "wait", "subject", "text", "html", "url", "blocks")
        help_texts = {
            "blocks": "The message as JSON. Text and HTML are made of it, and what is written there is replaced.",
            "text": 'Values and conditions are written in Liquid, such as {{ first_name | default: "there" }}.',
        }
        widgets = {
            "subject": UnfoldAdminTextInputWidget,
            "text": UnfoldAdminTextareaWidget(attrs={"rows": 8, "class": "message-text"}),
            "html": UnfoldAdminTextareaWidget(
                attrs={"rows": 8, "class": "message-text", "spellcheck": "false"}
            ),
            "url": UnfoldAdminTextInputWidget,
            "blocks": UnfoldAdminTextareaWidget(
                attrs={"rows": 8, "class": "message-text", "spellcheck": "false"}
            ),
        }

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        for name in MESSAGE_PARTS:
            declared = list(_declared_parts(name))
            if declared:
                self.fields[name].label = part_labels(declared)
            if help_text := " ".join(dict.fromkeys(part.help_text for part in declared if part.help_text)):
                self.fields[name].help_text = help_text

    def parts(self) -> Iterator[tuple[forms.BoundField, str]]:
        """Yield each part's field with the keys of the channels that declare it."""
        for name in MESSAGE_PARTS:
            channels = (key for key, channel in CHANNELS.items() if name in _part_names(channel.parts))
            yield self[name], " ".join(channels)

    def block_channels(self) -> str:
        """Return the keys of the channels whose messages can consist of blocks."""
        return " ".join(key for key, channel in CHANNELS.items() if channel.takes_blocks())

    def clean_blocks(self) -> Any:
        return self.cleaned_data["blocks"] or []

    def clean_wait(self) -> timedelta:
        return self.cleaned_data["wait"] or timedelta()

    def clean(self) -> dict[str, Any]:
        """Empty the parts that the channel does not declare."""
        given = super().clean() or {}
        if channel := CHANNELS.get(given.get("channel", "")):
            given |= dict.fromkeys(set(MESSAGE_PARTS) - set(_part_names(channel.parts)), "")
            given["blocks"] = (given.get("blocks") or []) if channel.takes_blocks() else []
        return given

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors or self.cleaned_data.get("DELETE"):
            return
        try:
            blocks.write_templates(self.instance)
        except InvalidBlocks as error:
            self.add_error("blocks", error.problems)
            return
        for problem in rendering.step_problems(self.instance):
            is_made = self.instance.blocks and problem.part in ("text", "html")
            self.add_error("blocks" if is_made else problem.part, problem.text)


def _declared_parts(name: str) -> Iterator[Part]:
    return (part for channel in CHANNELS.values() for part in channel.parts if part.name == name)


def _part_names(parts: Sequence[Part]) -> list[str]:
    return [part.name for part in parts]


class BaseStepFormSet(forms.BaseFormSet):
    deletion_widget = UnfoldBooleanWidget

    def __init__(self, *args: Any, steps: Sequence[Step] = (), **kwargs: Any) -> None:
        self.current_steps = steps
        super().__init__(*args, **kwargs)

    def initial_form_count(self) -> int:
        """Count new forms as initial ones, so that Django validates them although they are empty."""
        return self.total_form_count() if self.is_bound else len(self.current_steps)

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        """Show the current steps. ``lifecycle.save_campaign`` writes submitted ones into the rows."""
        is_shown = not self.is_bound and index is not None and index < len(self.current_steps)
        step = self.current_steps[index or 0] if is_shown else Step()
        return super().get_form_kwargs(index) | {"instance": step}

    @classmethod
    def get_ordering_widget(cls) -> type[forms.Widget]:
        return UnfoldAdminIntegerFieldWidget

    def add_fields(self, form: Any, index: int | None) -> None:
        """Label the fields that staff see without JavaScript."""
        super().add_fields(form, index)
        form.fields["ORDER"].label = "Position"
        form.fields["DELETE"].label = "Remove this step"

    def steps(self) -> list[Step]:
        """Return the steps in their order, without the removed ones."""
        return [form.instance for form in self.ordered_forms]

    def clean(self) -> None:
        if any(self.errors):
            return
        if not self.ordered_forms:
            raise forms.ValidationError(
                "A campaign needs at least one step. Add one, or keep the step that you removed."
            )


StepFormSet: Any = forms.formset_factory(
    StepForm,
    formset=BaseStepFormSet,
    extra=0,
    can_order=True,
    can_delete=True,
    max_num=MAX_STEPS,
    validate_max=True,
    absolute_max=MAX_STEPS,
)
