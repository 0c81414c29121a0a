"""URLs of the tracking endpoints, at the root."""

from django.urls import re_path

from . import views

urlpatterns = [
    re_path(r"^v1/(?P<call>[a-z]+)/?$", views.receive, name="tracking"),
]
