"""What the server says about itself (RFC 7644 section 4): the frame's views with our answers."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django_scim import views as frame

from provisioning.scim.answers import Answer
from provisioning.scim.errors import forbidden
from provisioning.scim.metadata import discovery
from provisioning.scim.receiving import Receiver


class DiscoveryReceiver(Receiver):
    """What the server can do. Paging, sorting and leaving out have no effect here (RFC 7644 section 4)."""

    def discovered(self, make: Callable[[], dict[str, Any]]) -> HttpResponse:
        """The answer, unless a filter is asked for, which is forbidden."""

        def answer() -> Answer:
            if any(name.lower() == "filter" for name in self.query):
                raise forbidden("Discovery can't be filtered.")
            return Answer(status=200, body=make())

        return self.answering(answer)


class ServiceProviderConfigView(DiscoveryReceiver, frame.ServiceProviderConfigView):
    """`/ServiceProviderConfig`."""

    endpoint = "/ServiceProviderConfig"
    http_method_names: ClassVar = ["get", "head"]

    def get(self, _request: HttpRequest) -> HttpResponse:
        """What is supported; what only drafts know of, where it is asked for by name in `attributes`."""
        named = (text for name, texts in self.query.items() if name.lower() == "attributes" for text in texts)
        asked = [one.strip() for text in named for one in text.split(",")]
        is_strict = self.caller.system.is_strict
        return self.discovered(
            lambda: discovery.service_provider_config_json(
                self.base, etag=True, sort=True, is_strict=is_strict, asked=asked
            )
        )


class ResourceTypesView(DiscoveryReceiver, frame.ResourceTypesView):
    """`/ResourceTypes` and `/ResourceTypes/{name}`."""

    endpoint = "/ResourceTypes"
    http_method_names: ClassVar = ["get", "head"]

    def get(self, _request: HttpRequest, uuid: str | None = None) -> HttpResponse:
        """All, or one by its name."""
        if uuid:
            return self.discovered(lambda: discovery.resource_type_json(uuid, self.base))
        return self.discovered(lambda: discovery.resource_types_json(self.base))


class SchemasView(DiscoveryReceiver, frame.SchemasView):
    """`/Schemas` and `/Schemas/{urn}`."""

    endpoint = "/Schemas"
    http_method_names: ClassVar = ["get", "head"]

    def get(self, _request: HttpRequest, uuid: str | None = None) -> HttpResponse:
        """All, or one by its URN."""
        if uuid:
            return self.discovered(lambda: discovery.schema_json(uuid, self.base))
        return self.discovered(lambda: discovery.schemas_json(self.base))
