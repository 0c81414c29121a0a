"""The URLs of links in messages."""

from django.urls import path

from . import views

urlpatterns = [
    # Without a signature: signed URLs start with these.
    path("go/", views.click, name="campaigns-click"),
    path("go/<str:signed>", views.click),
    path("unsubscribe/", views.unsubscribe, name="campaigns-unsubscribe"),
    path("unsubscribe/<str:signed>", views.unsubscribe),
    path("confirm/", views.confirm, name="campaigns-confirm"),
    path("confirm/<str:signed>", views.confirm),
]
