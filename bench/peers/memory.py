"""scim2-server with its memory as storage: no database, no history, and one process that knows everything.

The company is built straight into its storage when gunicorn loads it: BENCH_PEOPLE says how large it is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from scim2_models import ScimProvider, ServiceProviderConfig
from scim2_server.memory import InMemoryStorage
from scim2_server.service import ScimService
from scim2_server.testserver.application import BEARER_TOKEN_SCHEME, BearerTokenApplication
from scim2_server.utils import (
    load_default_resource_types,
    load_default_schemas,
    load_default_service_provider_config,
    load_json_resource,
)

from bench.company import Company, Person, named_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scim2_models import Resource

_MADE = "2026-01-01T00:00:00Z"


def provider() -> ScimProvider:
    """RFC 7643 as it announces it, with cursors, which its storage can."""
    config = load_json_resource("default-service-provider-config.json")
    config["pagination"] = {"cursor": True, "index": True}
    config["authenticationSchemes"] = [BEARER_TOKEN_SCHEME.model_dump()]
    config["filter"]["maxResults"] = 1000
    described = type(load_default_service_provider_config()).model_validate(config)
    assert isinstance(described, ServiceProviderConfig)
    return ScimProvider.from_discovery(
        load_default_schemas().values(), load_default_resource_types().values(), config=described
    )


def _meta(kind: str) -> dict[str, Any]:
    return {"meta": {"resourceType": kind, "created": _MADE, "lastModified": _MADE, "version": 'W/"0"'}}


def _resources(company: Company, described: ScimProvider) -> Iterator[Resource[Any]]:
    models: dict[str | None, Any] = {one.name: described.model_for(one) for one in described.resource_types}
    user, group = models["User"], models["Group"]
    ids = {n: named_uuid("user", n).hex for n in company.everybody}
    for n in company.everybody:
        yield user.model_validate({**Person(n=n).body, "id": ids[n], **_meta("User")})
    for team in company.teams:
        members = [{"value": ids[n], "type": "User"} for n in team.members]
        known = {"id": named_uuid("group", team.name).hex, "displayName": team.name, "members": members}
        yield group.model_validate({"schemas": [group.__schema__], **known, **_meta("Group")})


def build(company: Company, token: str) -> BearerTokenApplication:
    """The application with the whole company in it."""
    described = provider()
    storage = InMemoryStorage()
    with described:
        storage.resources = list(_resources(company, described))
    service = ScimService(described, secret=token)
    return BearerTokenApplication(storage, described, service, bearer_tokens=[token])


if "BENCH_PEOPLE" in os.environ:
    application = build(Company(people=int(os.environ["BENCH_PEOPLE"])), os.environ["BENCH_TOKEN"])
