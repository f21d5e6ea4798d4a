"""Recorded requests of identity providers: the status that they expect, and what is to be read afterwards.

Each `*.jsonl` has one request a line, with what must exist before it (`setup`, where `before` are requests) and what must
be true after it; `transcripts.jsonl` were recorded by others, the files of clients written from their public documents.
`{u1}` is the id of the first user that the setup makes, `{g1}` of the first group, `{x}` a word of this run. `rules`
are those of the dialect table by which it was read, as often as each was noted.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from audit.scope import scope
from provisioning import systems
from provisioning.scim.dialects.rules import RULES
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, RESOURCE_TYPES
from tests.conftest import a_cause
from tests.factories.scim import a_group, a_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.factories.scim import Idp, Reply

pytestmark = pytest.mark.dialect

FILES = {
    path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for path in sorted(Path(__file__).parent.glob("*.jsonl"))
}
TRANSCRIPTS = [one for found in FILES.values() for one in found]
# What a strict connection refuses: all that was tolerated, alone in its request.
TOLERATED = [one for one in TRANSCRIPTS if one.get("rules") and one["method"] != "GET"]
MISSING = object()
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def filled(value: Any, names: dict[str, str]) -> Any:
    """The value with `{name}` replaced wherever it stands."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    if isinstance(value, dict):
        return {filled(name, names): filled(inner, names) for name, inner in value.items()}
    return value


def address(path: str) -> str:
    """The path as a client sends it."""
    before, _, query = path.partition("?")
    return quote(before) + (f"?{quote(query, safe='=&')}" if query else "")


def value_at(body: Any, path: str) -> Any:
    """What stands at `emails[0].value`, or at `urn:…|manager.value`; MISSING if nothing does."""
    urn, bar, rest = path.rpartition("|")
    current = body.get(urn, MISSING) if bar else body
    for name, index in _STEP.findall(rest):
        try:
            current = current[int(index)] if index else current[name]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return current


def _items(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda found, wanted: bool(found == wanted),
    "absent": lambda found, _: found is MISSING,
    "present": lambda found, _: found not in (MISSING, None, ""),
    "empty": lambda found, _: found in (MISSING, []),
    "falsy": lambda found, _: found in (MISSING, None, "", [], {}),
    "type": lambda found, _: isinstance(found, int) and not isinstance(found, bool),
    "len": lambda found, wanted: len(_items(found)) == wanted,
    "min": lambda found, wanted: isinstance(found, int) and found >= wanted,
    "startswith": lambda found, wanted: isinstance(found, str) and found.startswith(wanted),
    "contains": lambda found, wanted: wanted in _items(found),
    "values": lambda found, wanted: sorted(item["value"] for item in _items(found)) == sorted(wanted),
    "item": lambda found, wanted: any(wanted.items() <= item.items() for item in _items(found)),
    "oneof": lambda found, wanted: found in wanted,
    "primaries": lambda found, wanted: sum(item.get("primary") is True for item in _items(found)) == wanted,
}


def prepare(idp: Idp, setup: dict[str, Any]) -> dict[str, str]:
    """Make what must exist. Returns the names for the placeholders."""
    names = {"x": "k3v9", "X": "K3V9"}
    # From the last to the first, so that the first can refer to the others.
    for number in range(setup.get("users", 0), 0, -1):
        user = f"user{number}-k3v9@example.com"
        given, family = f"Given{number}", f"Family{number}"
        body = a_user(
            user,
            name={"givenName": given, "familyName": family, "formatted": f"{given} {family}"},
            displayName=f"{given} {family}",
            emails=[{"value": user, "type": "work", "primary": True}],
            externalId=f"ext{number}-k3v9",
        )
        if number == 1:
            body |= filled(setup.get("user_body", {}), names) | setup.get("user_patch", {})
        manager = setup.get("managers", {}).get(f"u{number}")
        if manager:
            body["schemas"] = [*body["schemas"], ENTERPRISE_URN]
            body[ENTERPRISE_URN] = {"manager": {"value": names[manager]}}
        made = idp.post("/Users", body)
        assert made.status == 201, made
        names[f"u{number}"] = made["id"]
    for number, group in enumerate(setup.get("groups", []), start=1):
        members = [names[f"u{one}"] for one in range(1, group["members"] + 1)]
        made = idp.post("/Groups", a_group(f"group{number}-k3v9", *members, externalId=f"gext{number}-k3v9"))
        assert made.status == 201, made
        names[f"g{number}"] = made["id"]
    for path in setup.get("delete", []):
        assert idp.delete(filled(path, names)).status == 204
    for method, path, body in setup.get("before", []):
        reply = idp.call(method, filled(path, names), filled(body, names))
        assert reply.status in {200, 201, 204}, reply
    return names


def send(idp: Idp, transcript: dict[str, Any], names: dict[str, str]) -> Reply:
    """Send the request of a transcript."""
    headers = {name.replace("-", "_"): value for name, value in transcript["headers"].items()}
    path = address(filled(transcript["path"], names))
    return idp.call(transcript["method"], path, filled(transcript["body"], names), **headers)


def check(idp: Idp, reply: Reply, wanted: dict[str, Any], names: dict[str, str]) -> None:
    """Assert one check of a transcript; each says where to look and what must be true there."""
    where = filled(wanted["get"], names)
    seen = reply if where == "@response" else idp.get(address(where))
    found = seen.status if wanted["path"] == "@status" else value_at(seen.body, filled(wanted["path"], names))
    tests = {name: filled(value, names) for name, value in wanted.items() if name not in {"get", "path"}}
    assert tests
    for name, value in tests.items():
        assert TESTS[name](found, value), f"{where} {wanted['path']} {name} {value!r}: {found!r}"


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=[one["id"] for one in TRANSCRIPTS])
def test_a_recorded_request_is_answered_as_its_sender_expects(idp: Idp, transcript: dict[str, Any]) -> None:
    names = prepare(idp, transcript["setup"])
    reply = send(idp, transcript, names)
    assert reply.status in transcript["expect_status"], reply
    for wanted in transcript["checks"]:
        check(idp, reply, wanted, names)
    # A bulk notes what it tolerates on the exchange of each of its operations.
    notes_rules = "rules" in transcript and transcript["method"] in {"POST", "PUT", "PATCH"}
    if notes_rules and transcript["path"] != "/Bulk" and reply.status < 400:
        noted = sorted(one["rule"] for one in idp.last().coercions if one["rule"] != "note")
        assert sorted(set(noted)) == sorted(set(transcript["rules"]))


@pytest.mark.parametrize("transcript", TOLERATED, ids=[one["id"] for one in TOLERATED])
def test_a_strict_connection_refuses_what_a_tolerant_one_reads_and_changes_nothing(
    idp: Idp, transcript: dict[str, Any]
) -> None:
    names = prepare(idp, transcript["setup"])
    before = [idp.get(kind.endpoint).body for kind in RESOURCE_TYPES]
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        systems.change_strictness(system=idp.system, is_strict=True, reason="CHG-1", at=dt.datetime.now(dt.UTC))
    reply = send(idp, transcript, names)
    assert (reply.status, idp.last().outcome) == (400, "rejected"), reply
    assert reply["scimType"] in {"invalidSyntax", "invalidValue", "invalidPath", "invalidFilter", "noTarget"}
    assert [idp.get(kind.endpoint).body for kind in RESOURCE_TYPES] == before


def test_all_recorded_requests_are_here() -> None:
    assert {name: len(found) for name, found in FILES.items()} == {
        "authentik": 14,
        "entra": 63,
        "google": 6,
        "jumpcloud": 10,
        "keycloak": 13,
        "okta": 29,
        "onelogin": 8,
        "ping": 6,
        "removals": 23,
        "sailpoint": 8,
        "sentry": 13,
        "slack": 7,
        "transcripts": 48,
        "wso2": 10,
    }
    assert len({one["id"] for one in TRANSCRIPTS}) == len(TRANSCRIPTS)


def test_every_rule_of_the_dialects_is_proved_by_a_transcript_and_every_source_is_named() -> None:
    assert {rule for one in TOLERATED for rule in one["rules"]} == set(RULES)
    assert all(one["source"] and one["why"] for one in TRANSCRIPTS)
