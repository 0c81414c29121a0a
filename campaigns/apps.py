"""The app's name. It has no models yet: campaigns come in a later release."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    name = "campaigns"
