"""The admin pages of campaigns, coupon pools and audiences."""

from segments.admin import deletion, tabs

from . import (
    access,
    campaign,
    consequences,
    coupon_pools,
    customers,
    imports,
    reach,
    sign_up_form,
    site_search,
)

__all__ = ["campaign", "coupon_pools", "customers", "imports", "sign_up_form", "site_search"]

tabs.register_tab(
    tabs.Tab(
        "campaigns",
        "Campaigns",
        "campaigns_campaign_segment",
        access.VIEW_CAMPAIGN,
        invitation="Start a campaign",
    )
)
tabs.register_tab(tabs.Tab("audience", "Ads", "campaigns_campaign_audience", access.VIEW_AUDIENCE_EXPORT))
tabs.register_panel(reach.reach_panel)
deletion.register_consequences(consequences.audience_consequences)
