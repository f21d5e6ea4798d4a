"""The addresses below `/scim/v2/`, by the frame's names, since its code reverses them. All of them ask for a token.

A slash at the end is tolerated, and whatever is nowhere is answered in SCIM too.
"""

from collections.abc import Iterator

from django.urls import URLPattern, re_path

from provisioning.scim import bulk, discovery_views, received_views, views

app_name = "scim"


def _not_done(endpoint: str) -> type[views.UnsupportedView]:
    return type("UnsupportedView", (views.UnsupportedView,), {"endpoint": endpoint})


def _resources() -> Iterator[URLPattern]:
    """Each kind of resource at its endpoint; `users` and `groups` are the frame's own names."""
    for endpoint, view in views.VIEWS.items():
        search = views.SEARCH_VIEWS[endpoint]
        yield re_path(rf"^{endpoint}/\.search/?$", search.as_view(), name=f"{endpoint.lower()}-search")
        yield re_path(rf"^{endpoint}(?:/(?P<uuid>[^/]+))?/?$", view.as_view(), name=endpoint.lower())


urlpatterns = [
    re_path(r"^$", views.RootView.as_view(), name="root"),
    re_path(r"^\.search/?$", views.RootSearchView.as_view(), name="search"),
    *_resources(),
    re_path(r"^Me/?$", _not_done("/Me").as_view(), name="me"),
    re_path(r"^Bulk/?$", bulk.BulkView.as_view(), name="bulk"),
    re_path(
        r"^ServiceProviderConfig/?$",
        discovery_views.ServiceProviderConfigView.as_view(),
        name="service-provider-config",
    ),
    re_path(
        r"^ResourceTypes(?:/(?P<uuid>[^/]+))?/?$", discovery_views.ResourceTypesView.as_view(), name="resource-types"
    ),
    re_path(r"^Schemas(?:/(?P<uuid>[^/]+))?/?$", discovery_views.SchemasView.as_view(), name="schemas"),
    re_path(r"^Received(?:/(?P<uuid>[^/]+))?/?$", received_views.ReceivedView.as_view(), name="received"),
    re_path(r"", views.NowhereView.as_view(), name="nowhere"),
]
