"""The permissions that the pages of campaigns need. ``core.admin.permissions.require_permissions`` checks them."""

from typing import Final

SEE: Final = "campaigns.view_campaign"
WRITE: Final = "campaigns.change_campaign"
ADD: Final = "campaigns.add_campaign"
DISCARD: Final = "campaigns.delete_campaign"
SEE_DELIVERIES: Final = "campaigns.view_delivery"
SEE_EXPORTS: Final = "campaigns.view_audienceexport"
EXPORT: Final = "campaigns.add_audienceexport"
