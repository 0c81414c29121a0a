"""All URLs."""

from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from core.api.error_views import unknown_url
from core.staff import password_views

from .health import healthz

handler400 = "core.api.error_views.bad_request"
handler403 = "core.api.error_views.permission_denied"
handler404 = "core.api.error_views.page_not_found"
handler500 = "core.api.error_views.server_error"

# The browsable API logs in and out through the admin.
BROWSABLE_API = [
    path("login/", admin.site.login, name="login"),
    path("logout/", admin.site.logout, name="logout"),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", include((BROWSABLE_API, "rest_framework"))),
    path(
        "admin/password/forgotten/",
        password_views.ForgottenPasswordView.as_view(),
        name="admin_password_reset",
    ),
    path("admin/password/sent/", password_views.ResetLinkSentView.as_view(), name="password_reset_done"),
    path(
        "admin/password/choose/<uidb64>/<token>/",
        password_views.ChoosePasswordView.as_view(),
        name="password_reset_confirm",
    ),
    path("admin/", admin.site.urls),
    # Customers last: their ids can contain slashes.
    path("api/v1/", include("campaigns.api.urls")),
    path("api/v1/", include("segments.api.urls")),
    path("api/v1/", include("customers.api.urls")),
    path("", include("customers.tracking.urls")),
    path("", include("campaigns.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    re_path(r"^api/", unknown_url),
    # For pages without an icon of their own, such as API responses in a browser.
    path("favicon.ico", RedirectView.as_view(url=static(settings.FAVICON))),
    path("healthz", healthz, name="healthz"),
]

if settings.RECEIVES_PROVIDER_EVENTS:
    urlpatterns += [path("anymail/", include("anymail.urls"))]
