"""What staff see of campaigns, their coupons and audiences."""

from segments.admin import tabs

from . import access, campaign, customers, pools, sources

__all__ = ["campaign", "customers", "pools", "sources"]

tabs.register(
    tabs.Tab(
        "campaigns", "Campaigns", "campaigns_campaign_of_segment", access.SEE, invitation="Start a campaign"
    )
)
tabs.register(tabs.Tab("audience", "Ads", "campaigns_campaign_audience", access.SEE_EXPORTS))
