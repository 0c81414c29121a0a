"""Every address of the installation."""

from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from customers.errors import unknown_address
from segments_project.health import healthz

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("customers.api.urls")),
    path("api/v1/", include("segments.api.urls")),
    path("", include("customers.tracking.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
    re_path(r"^api/", unknown_address),
    # For pages that name none, such as answers of the API in a browser.
    path("favicon.ico", RedirectView.as_view(url=static(settings.FAVICON))),
    path("healthz", healthz, name="healthz"),
]
