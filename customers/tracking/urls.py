"""The addresses that tracking clients speak to, at the root."""

from django.urls import re_path

from . import views

urlpatterns = [
    re_path(r"^v1/(?P<call>[a-z]+)/?$", views.receive, name="tracking"),
]
