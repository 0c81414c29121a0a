"""Campaigns in the search of the admin."""

from collections.abc import Iterator

from django.http import HttpRequest
from django.urls import reverse

from campaigns.models import Campaign
from core import search

from .access import VIEW_CAMPAIGN


@search.register
def find_campaigns(request: HttpRequest, term: str) -> Iterator[search.Results]:
    if request.user.has_perm(VIEW_CAMPAIGN):
        named = Campaign.objects.order_by("-pk").select_related("segment")
        campaigns = named.only("name", "state", "segment__name")
        found = search.best_matches(campaigns, term, lambda one: (one.name, one.segment.name))
        yield search.Results(
            "Campaigns",
            "campaign",
            [
                search.Result(
                    one.name,
                    reverse("admin:campaigns_campaign_change", args=[one.pk]),
                    f"{one.get_state_display()}, {one.segment.name}",
                )
                for one in found
            ],
        )
