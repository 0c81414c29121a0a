"""The permissions that the pages of campaigns need. ``core.admin.permissions.require_permissions`` checks them."""

from typing import Final

VIEW_CAMPAIGN: Final = "campaigns.view_campaign"
CHANGE_CAMPAIGN: Final = "campaigns.change_campaign"
ADD_CAMPAIGN: Final = "campaigns.add_campaign"
DELETE_CAMPAIGN: Final = "campaigns.delete_campaign"
VIEW_DELIVERY: Final = "campaigns.view_delivery"
VIEW_AUDIENCE_EXPORT: Final = "campaigns.view_audienceexport"
ADD_AUDIENCE_EXPORT: Final = "campaigns.add_audienceexport"
