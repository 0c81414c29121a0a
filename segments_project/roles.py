"""The roles of staff with their permissions.

``migrate`` creates the roles, grants permissions that a new version adds, and takes back those that it no longer
grants. Other changes by staff in the admin stay.
"""

from typing import Final

from core.staff.roles import Role, all_permissions

VIEWER: Final = Role(
    name="Viewer",
    description=(
        "see customers with masked contact data, segments with their members, campaigns with their messages "
        "and results, and pools of coupons with the number of codes left"
    ),
    permissions=(
        "customers.view_customer",
        "segments.view_segment",
        "campaigns.view_campaign",
        "campaigns.view_step",
        "campaigns.view_journey",
        "campaigns.view_delivery",
        "campaigns.view_audienceexport",
        "campaigns.view_couponpool",
    ),
)

MARKETER: Final = Role(
    name="Marketer",
    description=(
        "also see contact data; create, edit, refresh and delete segments and fixed lists; import files; run "
        "campaigns; manage pools of coupons and download the codes; download audiences; suppress e-mail "
        "addresses, and lift suppressions"
    ),
    permissions=(
        *VIEWER.permissions,
        # Contact data: on every page, in the files of members, and in the audiences for ads
        "customers.view_contact_data",
        "segments.view_membership",
        "campaigns.add_audienceexport",
        # Segments
        "segments.add_segment",
        "segments.change_segment",
        "segments.delete_segment",
        # Campaigns and coupons
        "campaigns.add_campaign",
        "campaigns.change_campaign",
        "campaigns.delete_campaign",
        "campaigns.add_couponpool",
        "campaigns.change_couponpool",
        "campaigns.delete_couponpool",
        "campaigns.view_coupon",
        # Files of records
        "customers.view_import",
        "customers.add_import",
        # Addresses that get no e-mail
        "customers.view_suppression",
        "customers.add_suppression",
        "customers.delete_suppression",
    ),
)

ADMINISTRATOR: Final = Role(
    name="Administrator",
    description=(
        "also edit the settings of the shop, manage staff, roles, schedules, API keys, tracking sources and "
        "webhooks, see refreshes and verifications, export and erase customers, see Activity, and unlock logins"
    ),
    permissions=(
        *MARKETER.permissions,
        # Staff, Activity, failed logins
        *all_permissions("auth.user", "auth.group"),
        "admin.view_logentry",
        "axes.view_accessattempt",
        "axes.delete_accessattempt",
        # Privacy: export and erasure of a customer's data
        "customers.export_customer",
        "customers.view_erasure",
        "customers.add_erasure",
        # Schedules
        *all_permissions(
            "django_celery_beat.periodictask",
            "django_celery_beat.intervalschedule",
            "django_celery_beat.crontabschedule",
            "django_celery_beat.solarschedule",
            "django_celery_beat.clockedschedule",
        ),
        # The settings of the shop
        "core.view_shopprofile",
        "core.change_shopprofile",
        # The state of segments
        "segments.view_refresh",
        "segments.view_verification",
        # API keys and webhooks
        "core.view_apikey",
        "core.add_apikey",
        "core.change_apikey",
        "segments.view_endpoint",
        "segments.view_message",
        "segments.add_endpoint",
        "segments.change_endpoint",
        "segments.delete_endpoint",
        # Tracking
        "customers.view_source",
        "customers.add_source",
        "customers.change_source",
        "customers.view_refusedmessage",
        "customers.change_refusedmessage",
        "customers.view_identitylink",
    ),
)

ROLES: Final = (VIEWER, MARKETER, ADMINISTRATOR)

# Granted to no role on purpose. A test fails for a permission that is neither in a role nor here.
UNGRANTED_PERMISSIONS: Final = (
    # Tables without a page: only the application writes them.
    *all_permissions(
        "customers.addressunsubscription",
        "customers.appendedevent",
        "customers.appendedorder",
        "customers.attributedates",
        "customers.batch",
        "customers.columnmapping",
        "customers.confirmationrequest",
        "customers.consentchange",
        "customers.consentstatement",
        "customers.datedattribute",
        "customers.draftlock",
        "customers.drainkey",
        "customers.tombstone",
        "customers.event",
        "customers.eventproduct",
        "customers.facts",
        "customers.factsasof",
        "customers.identity",
        "customers.identitylock",
        "core.idempotentresponse",
        "customers.order",
        "customers.orderline",
        "customers.ordermessage",
        "customers.recordkey",
        "customers.salt",
        "customers.partialtotals",
        "customers.stalefacts",
        "customers.touched",
        "customers.traits",
        "core.namedlock",
        "customers.unsignedlink",
        "customers.unsignedlinklock",
        "customers.upcoming",
        "segments.attempt",
        "segments.change",
        "segments.refreshresult",
        "segments.dailychangecount",
        "segments.lifecyclestage",
        "segments.historyday",
        "segments.historyrun",
        "segments.historyseries",
        "segments.star",
        "segments.tag",
        "segments.version",
        "campaigns.audiencemember",
        "campaigns.boughttogether",
        "campaigns.channelhealth",
        "campaigns.soldproduct",
    ),
    # Staff can see these, but only the application writes them.
    "customers.add_identitylink",
    "customers.change_identitylink",
    "customers.delete_identitylink",
    "customers.add_customer",
    "customers.change_customer",
    "customers.delete_customer",
    "customers.change_erasure",
    "customers.delete_erasure",
    "customers.change_import",
    "customers.delete_import",
    "customers.add_refusedmessage",
    "customers.delete_refusedmessage",
    "customers.change_suppression",
    "segments.add_membership",
    "segments.change_membership",
    "segments.delete_membership",
    "segments.add_message",
    "segments.change_message",
    "segments.delete_message",
    "segments.add_refresh",
    "segments.change_refresh",
    "segments.delete_refresh",
    "segments.add_verification",
    "segments.change_verification",
    "segments.delete_verification",
    "campaigns.change_audienceexport",
    "campaigns.delete_audienceexport",
    "campaigns.add_coupon",
    "campaigns.change_coupon",
    "campaigns.delete_coupon",
    "campaigns.add_delivery",
    "campaigns.change_delivery",
    "campaigns.delete_delivery",
    "campaigns.add_journey",
    "campaigns.change_journey",
    "campaigns.delete_journey",
    "campaigns.add_step",
    "campaigns.change_step",
    "campaigns.delete_step",
    # Deactivated, never deleted.
    "core.delete_apikey",
    "customers.delete_source",
)
