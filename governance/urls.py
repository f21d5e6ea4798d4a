"""All addresses. Those of a tenant's pages are reached below `/t/<slug>/`, which `governance.middleware` takes off."""

from django.contrib import admin
from django.urls import include, path, re_path

from governance.api import files, health, metrics
from governance.portal import sign_in
from provisioning.scim.views import NowhereView

urlpatterns = [
    # Probes: no sign-in, no tenant.
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    # Figures of every tenant, for a monitoring system with its token.
    path("metrics", metrics.metrics, name="metrics"),
    # SCIM: its token says which tenant. Whatever lies beside it is answered in SCIM too, never in HTML.
    path("scim/v2/", include("provisioning.scim.urls")),
    re_path(r"^scim(?:/|$)", NowhereView.as_view()),
    # Files of systems: their signature says who sends them.
    path("files/v1/<slug:slug>/<uuid:system>", files.upload, name="upload"),
    # Getting in and out: no tenant.
    path("", sign_in.chooser, name="chooser"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("logout/", sign_in.SignOut.as_view(), name="logout"),
    path("password/change/", sign_in.password_change, name="password_change"),
    path("password/reset/", sign_in.password_reset, name="password_reset"),
    path("password/reset/sent/", sign_in.password_reset_sent, name="password_reset_sent"),
    path("welcome/<str:token>/", sign_in.welcome, name="welcome"),
    # Pages of security staff and auditors, and below them every record, read only.
    path("admin/records/", admin.site.urls),
    path("admin/", include("governance.admin.urls")),
    # Portal: an owner's own.
    path("my/", include("governance.portal.urls")),
    # API.
    path("api/v1/", include("governance.api.urls")),
]

# Below the API a wrong address is answered in JSON, elsewhere by a page.
handler404 = "governance.api.errors.not_found"
# Below /scim they are SCIM errors; elsewhere the pages of the frame.
handler400 = "provisioning.scim.views.bad_request"
handler500 = "governance.api.errors.server_error"
