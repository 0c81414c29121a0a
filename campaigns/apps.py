"""The app's name."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """Campaigns, their messages and results."""

    name = "campaigns"
