"""Addresses of the API, below /t/<tenant>/api/v1/."""

from django.urls import URLPattern, URLResolver, path

from governance.api import errors, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/", views.Accounts.as_view(), name="api-accounts"),
    path("accounts/<uuid:pk>/", views.OneAccount.as_view(), name="api-account"),
    path("findings/", views.Findings.as_view(), name="api-findings"),
    path("runs/", views.Runs.as_view(), name="api-runs"),
    # Whatever else is asked for here is answered in JSON too.
    path("", errors.no_such_address),
    path("<path:path>", errors.no_such_address),
]
