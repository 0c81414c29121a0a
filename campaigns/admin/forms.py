"""The form of a campaign and those of its steps, whose texts are tried before they are saved."""

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
from campaigns.messages import rendering
from campaigns.models import Campaign, Step

from .duration_field import DurationWithUnitField

MAX_STEPS: Final = 20
INPUT_CSS_CLASSES: Final = " ".join(INPUT_CLASSES)
MESSAGE_PARTS: Final = ("subject", "text", "html", "url")
"""The columns that hold the parts of a message, in the order of the form."""


class CampaignForm(forms.ModelForm):
    """When a campaign begins and ends for somebody, and what holds it back."""

    repeats_every = DurationWithUnitField(
        label="Repeated every", required=False, least=timedelta(days=1), help_text="A day at least."
    )
    reentry_after = DurationWithUnitField(
        label="Again after",
        required=False,
        help_text="How long after its beginning a customer may begin once more. Empty: never.",
    )

    class Meta:
        """In the order of the page."""

        model = Campaign
        fields = (
            *(
                "name",
                "trigger",
                "starts_at",
                "repeats_every",
                "takes_members",
                "takes_mass_changes",
                "reentry_after",
            ),
            *("is_only_for_members", "ends_with_order", "quiet_from", "quiet_until", "pool"),
        )
        labels = {
            "starts_at": "Date and time",
            "quiet_from": "Quiet from",
            "quiet_until": "Quiet until",
            "pool": "Coupon codes",
        }
        help_texts = {
            "starts_at": "In the shop's time zone. Empty: as soon as it is started.",
            "quiet_from": "In the customer's time zone: nothing is sent from here",
            "quiet_until": "until here. Both empty: at any hour.",
            "pool": "Where the code of each customer comes from, which {{ coupon }} stands for.",
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
            "takes_members": UnfoldBooleanWidget,
            "takes_mass_changes": UnfoldBooleanWidget,
            "is_only_for_members": UnfoldBooleanWidget,
            "ends_with_order": UnfoldBooleanWidget,
        }

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        # Once it has begun, whom it met at its start is settled.
        self.fields["takes_members"].disabled = self.instance.state != Campaign.State.DRAFT

    def clean(self) -> dict[str, Any]:
        """Refuse what does not fit together, beside the input it is about."""
        given = super().clean() or {}
        if (
            given.get("trigger") == Campaign.Trigger.EVERY
            and not given.get("repeats_every")
            and "repeats_every" not in self.errors
        ):
            self.add_error("repeats_every", "Say how often it is repeated.")
        empty = [name for name in ("quiet_from", "quiet_until") if name in given and given[name] is None]
        if len(empty) == 1:
            self.add_error(empty[0], "Quiet hours need both a beginning and an end.")
        return given


class StepForm(forms.ModelForm):
    """One message: when, by which channel, and what it says. The channels declare the parts."""

    channel = forms.ChoiceField(choices=channel_choices, widget=UnfoldAdminSelectWidget)
    wait = DurationWithUnitField(
        label="Wait", help_text="After the beginning, or after the step before. 0: at once.", required=False
    )

    class Meta:
        """What staff write."""

        model = Step
        fields = ("channel", "wait", "subject", "text", "html", "url")
        help_texts = {
            "text": 'In Django\'s template language, such as {{ customer.first_name|default:"there" }}.'
        }
        widgets = {
            "subject": UnfoldAdminTextInputWidget,
            "text": UnfoldAdminTextareaWidget(attrs={"rows": 8, "class": "message-text"}),
            "html": UnfoldAdminTextareaWidget(
                attrs={"rows": 8, "class": "message-text", "spellcheck": "false"}
            ),
            "url": UnfoldAdminTextInputWidget,
        }

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        for name in MESSAGE_PARTS:
            declared = list(_declared_parts(name))
            if declared:
                self.fields[name].label = part_labels(declared)
            if told := " ".join(dict.fromkeys(part.help_text for part in declared if part.help_text)):
                self.fields[name].help_text = told

    def parts(self) -> Iterator[tuple[forms.BoundField, str]]:
        """Yield each field of a part with the channels that have it."""
        for name in MESSAGE_PARTS:
            channels = (key for key, channel in CHANNELS.items() if name in _part_names(channel.parts))
            yield self[name], " ".join(channels)

    def clean_wait(self) -> timedelta:
        """Take an empty wait for none."""
        return self.cleaned_data["wait"] or timedelta()

    def clean(self) -> dict[str, Any]:
        """Keep the parts that the channel declares."""
        given = super().clean() or {}
        if channel := CHANNELS.get(given.get("channel", "")):
            given |= dict.fromkeys(set(MESSAGE_PARTS) - set(_part_names(channel.parts)), "")
        return given

    def _post_clean(self) -> None:
        """Check the texts as they would be saved."""
        super()._post_clean()  # type: ignore[misc]
        if self.errors or self.cleaned_data.get("DELETE"):
            return
        for problem in rendering.problems(self.instance):
            self.add_error(problem.part, problem.text)


def _declared_parts(name: str) -> Iterator[Part]:
    return (part for channel in CHANNELS.values() for part in channel.parts if part.name == name)


def _part_names(parts: Sequence[Part]) -> list[str]:
    return [part.name for part in parts]


class BaseStepFormSet(forms.BaseFormSet):
    """The steps in a row, in the order that their numbers say."""

    deletion_widget = UnfoldBooleanWidget

    def __init__(self, *args: Any, steps: Sequence[Step] = (), **kwargs: Any) -> None:
        self.given = steps
        super().__init__(*args, **kwargs)

    def initial_form_count(self) -> int:
        """Take every form for one that was there: also a new step without a word is told what it lacks."""
        return self.total_form_count() if self.is_bound else len(self.given)

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        """Show the steps there are; what is sent makes new ones, which the writer puts in their places."""
        is_shown = not self.is_bound and index is not None and index < len(self.given)
        return super().get_form_kwargs(index) | {"instance": self.given[index or 0] if is_shown else Step()}

    @classmethod
    def get_ordering_widget(cls) -> type[forms.Widget]:
        """Give the field of a number in the admin's looks."""
        return UnfoldAdminIntegerFieldWidget

    def add_fields(self, form: Any, index: int | None) -> None:
        """Name what is said to who works without scripts."""
        super().add_fields(form, index)
        form.fields["ORDER"].label = "Place in the row"
        form.fields["DELETE"].label = "Remove this step"

    def steps(self) -> list[Step]:
        """Give the steps in their order, without those that were removed."""
        return [form.instance for form in self.ordered_forms]

    def clean(self) -> None:
        """Ask for a step at least."""
        if any(self.errors):
            return
        if not self.ordered_forms:
            raise forms.ValidationError("A campaign needs a step: add one, or keep the one that was removed.")


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
