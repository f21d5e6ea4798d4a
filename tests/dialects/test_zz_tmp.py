import pytest
from dataclasses import replace
from provisioning.scim.metadata import catalogue as c, discovery, schema
from tests.dialects.test_peers import *  # noqa

@pytest.fixture(autouse=True)
def patched(monkeypatch):
    orig = schema.Attribute.to_json
    def to_json(self):
        body = orig(self)
        if self.name == "expiresAt":
            body["canonicalValues"] = ["2030-01-31T12:00:00Z"]
        return body
    monkeypatch.setattr(schema.Attribute, "to_json", to_json)
    from provisioning.scim.projection import Projection
    o = Projection.apply
    def apply(self, r):
        b = o(self, r)
        for m in b.get("members", []): m.pop("display", None)
        return b
    monkeypatch.setattr(Projection, "apply", apply)
