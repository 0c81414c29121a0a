"""The form before the start of a campaign: texts that only the shop knows, and the pool of coupon codes."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from campaigns import lifecycle
from campaigns.messages import rendering
from campaigns.models import Campaign, CouponPool
from campaigns.playbook.catalogue import TACTICS


class StartForm(forms.Form):
    """A field for each answer that the texts of the campaign use, and for the coupon pool."""

    def __init__(self, campaign: Campaign, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.campaign = campaign
        steps = list(campaign.steps.all())
        tactic = TACTICS.get(campaign.tactic)
        questions = {question.name: question for question in tactic.questions} if tactic else {}
        for name in rendering.answer_names(steps):
            question, answer = questions.get(name), campaign.answers.get(name, "")
            field_options: dict[str, Any] = {
                "label": lifecycle.question_label(campaign, name),
                "help_text": question.help if question else "",
                "initial": answer,
                "required": not answer or f"answer_{name}" in self.data,
                "max_length": lifecycle.MAX_ANSWER_LENGTH,
            }
            self.fields[f"answer_{name}"] = (
                forms.URLField(**field_options, assume_scheme="https", widget=UnfoldAdminTextInputWidget)
                if question and question.is_url
                else forms.CharField(**field_options, widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}))
            )
        if rendering.uses_variable(steps, "coupon"):
            self.fields["pool"] = forms.ModelChoiceField(
                CouponPool.objects.order_by("name"),
                label="Coupon codes",
                help_text="The pool that each customer's code comes from.",
                initial=campaign.pool_id,
                required=campaign.pool_id is None or "pool" in self.data,
                empty_label="Choose a pool",
                widget=UnfoldAdminSelectWidget,
            )

    def save(self, by: Any) -> None:
        """Save the answers. Raises ``lifecycle.CampaignError``."""
        answers = {
            name.removeprefix("answer_"): value
            for name, value in self.cleaned_data.items()
            if name != "pool" and name in self.data
        }
        pool = self.cleaned_data.get("pool") if "pool" in self.data else None
        if answers or pool:
            lifecycle.save_answers(self.campaign, answers, pool, by)
