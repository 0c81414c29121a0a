"""The addresses that messages lead to."""

from django.urls import path

from . import views

urlpatterns = [
    # Without what was signed, addresses begin like this.
    path("go/", views.click, name="campaigns-click"),
    path("go/<str:signed>", views.click),
    path("unsubscribe/", views.unsubscribe, name="campaigns-unsubscribe"),
    path("unsubscribe/<str:signed>", views.unsubscribe),
    path("confirm/", views.confirm, name="campaigns-confirm"),
    path("confirm/<str:signed>", views.confirm),
]
