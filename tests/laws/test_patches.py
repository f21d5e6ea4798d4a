"""A PATCH makes of a user what another implementation makes of it, or both refuse; and what is known of any PATCH.

The other is scim2-models: `PatchOp.patch` on a model that it makes from our schemas, tolerant of what Entra sends.
"""

from __future__ import annotations

import json
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scim2_models import Context, Extension, PatchOp, Resource, Schema, ScimPolicy
from scim2_models.exceptions import SCIMException

from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.catalogue import ENTERPRISE_SCHEMA, ENTERPRISE_URN, USER, USER_SCHEMA
from provisioning.scim.metadata.discovery import schema_json
from provisioning.scim.parsing.normal import normalise
from provisioning.scim.patch.engine import apply
from provisioning.scim.patch.operations import read_patch
from tests.factories.scim import PATCH_URN
from tests.laws.world import POLICY, law

if TYPE_CHECKING:
    from tests.factories.scim import Idp, Reply

pytestmark = pytest.mark.law

STRICT = POLICY.model_copy(update={"unknown": ScimPolicy.Unknown.forbid})

words = st.sampled_from(["a", "A", "b", "Straße", "x y"])
types = st.sampled_from(["work", "home", "WORK"])
mails = st.fixed_dictionaries({"value": words}, optional={"type": types, "primary": st.booleans(), "display": words})
names = st.fixed_dictionaries({}, optional={"givenName": words, "familyName": words})
enterprise = st.fixed_dictionaries(
    {}, optional={"department": words, "costCenter": words, "manager": st.fixed_dictionaries({"value": words})}
)


def one_primary(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first primary value stays the only one, and each (type, value) stands once."""
    kept: list[dict[str, Any]] = []
    for item in items:
        if any(
            (k.get("type", "").lower(), k["value"].casefold())
            == (item.get("type", "").lower(), item["value"].casefold())
            for k in kept
        ):
            continue
        kept.append({**item, "primary": False} if item.get("primary") and any(k.get("primary") for k in kept) else item)
    return kept


lists = st.lists(mails, max_size=3).map(one_primary)
documents = st.fixed_dictionaries(
    {"userName": words},
    optional={
        "title": words, "active": st.booleans(), "name": names.filter(bool), "emails": lists.filter(bool),
        "roles": lists.filter(bool), "externalId": words, ENTERPRISE_URN: enterprise.filter(bool),
    },
)  # fmt: skip
criteria = st.sampled_from([
    'type eq "work"', 'value eq "a"', "primary eq true", 'type eq "home" and value eq "b"', 'not (type eq "work")',
    'type eq "work" or value eq "A"', 'value sw "S"', "display pr",
])  # fmt: skip


def at(op: str, path: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"op": st.just(op), "path": st.just(path), "value": values})


writes = st.one_of(*[
    strategy
    for op in ("add", "replace")
    for strategy in (
        at(op, "title", words), at(op, "userName", words), at(op, "active", st.booleans()), at(op, "externalId", words),
        at(op, "name", names.filter(bool)), at(op, "name.givenName", words), at(op, "emails", lists.filter(bool)),
        at(op, "roles", lists.filter(bool)), at(op, f"{ENTERPRISE_URN}:department", words),
        at(op, f"{ENTERPRISE_URN}:manager", st.fixed_dictionaries({"value": words})),
        at(op, f"{ENTERPRISE_URN}:manager.value", words), at(op, ENTERPRISE_URN, enterprise.filter(bool)),
        at(op, "id", words), at(op, "meta.created", words), at(op, "nonsense", words), at(op, "title", st.integers()),
        st.builds(lambda value, op=op: {"op": op, "value": value}, st.fixed_dictionaries(
            {}, optional={"title": words, "name": names.filter(bool), "emails": lists.filter(bool),
                          ENTERPRISE_URN: enterprise.filter(bool)},
        ).filter(bool)),
        st.builds(lambda c, value, op=op: {"op": op, "path": f"emails[{c}].value", "value": value}, criteria, words),
        st.builds(lambda c, value, op=op: {"op": op, "path": f"emails[{c}].primary", "value": value}, criteria, st.booleans()),
        st.builds(lambda c, value, op=op: {"op": op, "path": f"emails[{c}].display", "value": value}, criteria, words),
    )
])  # fmt: skip
removals = st.one_of(
    st.sampled_from(
        ["title", "userName", "name", "name.givenName", "emails", "roles", "active", "externalId", "id", "nonsense",
         f"{ENTERPRISE_URN}:department", f"{ENTERPRISE_URN}:manager", ENTERPRISE_URN]
    ).map(lambda path: {"op": "remove", "path": path}),
    st.builds(lambda c: {"op": "remove", "path": f"emails[{c}]"}, criteria),
    st.builds(lambda c: {"op": "remove", "path": f"emails[{c}].display"}, criteria),
    st.just({"op": "remove"}),
)  # fmt: skip
operations = st.lists(writes | removals, min_size=1, max_size=4)


def model() -> type[Resource[Any]]:
    core, extension = (
        Schema.model_validate(schema_json(one.id, "https://x.example")) for one in (USER_SCHEMA, ENTERPRISE_SCHEMA)
    )
    made: Any = Resource.from_schema(core)
    return made[reduce(or_, [Extension.from_schema(extension)])]  # type: ignore[no-any-return]


MODEL = model()


def canonical(document: dict[str, Any]) -> dict[str, Any]:
    """The part of a document that is compared: nothing computed, nothing unassigned, values in any order."""
    kept = {name: value for name, value in document.items() if name not in {"schemas", "id", "meta"}}
    return {
        name: sorted(value, key=lambda one: json.dumps(one, sort_keys=True)) if isinstance(value, list) else value
        for name, value in kept.items()
        if value not in (None, [], {})
    }


def ours(document: dict[str, Any], sent: list[dict[str, Any]]) -> dict[str, Any] | str:
    try:
        patch = read_patch({"schemas": [PATCH_URN], "Operations": sent}, USER)
        return canonical(apply(document, patch, USER).document)
    except ScimError as error:
        return str(error.scim_type)


def theirs(document: dict[str, Any], sent: list[dict[str, Any]]) -> dict[str, Any] | str:
    resource = MODEL.model_validate({"schemas": [USER_SCHEMA.id, ENTERPRISE_URN], **document}, scim_policy=STRICT)
    try:
        body = {"schemas": [PATCH_URN], "Operations": sent}
        patch = PatchOp[MODEL].model_validate(  # type: ignore[valid-type]  # the model is made at run time
            body, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=STRICT
        )
        patch.patch(resource, scim_policy=STRICT)
    except (SCIMException, ValueError) as error:
        return str(getattr(error, "scim_type", None) or "refused")
    return canonical(resource.model_dump(scim_ctx=Context.DEFAULT))


def adds_what_is_there(one: dict[str, Any]) -> bool:
    value = one.get("value")
    whole = isinstance(value, dict) and "emails" in value and "path" not in one
    return one["op"] == "add" and (whole or one.get("path") in {"emails", "roles"})


def makes_several_primary(one: dict[str, Any]) -> bool:
    return one.get("path", "").endswith("].primary") and one.get("value") is True


# Where both may be right: by which operation it is known, and why.
DIFFERENT = {
    adds_what_is_there: "we merge what is added into what has the same type and value (RFC 7643, section 2.4, wants each"
    " such pair once); to the other implementation it is another value unless all of it is equal",
    makes_several_primary: "where a filter chooses several values we refuse to make all of them the primary one, also if"
    " one of them was; the other implementation then takes the one that was not",
}


def differs_rightly(sent: list[dict[str, Any]]) -> bool:
    return any(known(one) for known in DIFFERENT for one in sent)


@law(500)
@given(documents, operations)
def test_a_patch_makes_what_another_implementation_makes(document: dict[str, Any], sent: list[dict[str, Any]]) -> None:
    mine, other = ours(document, sent), theirs(document, sent)
    if mine != other and isinstance(mine, str) and isinstance(other, str):
        return
    assert mine == other or differs_rightly(sent), (document, sent, mine, other)


# -- what is known of any PATCH


@law(200)
@given(
    documents,
    st.lists(
        st.one_of(writes.filter(lambda one: one["op"] == "replace" and "[" not in one.get("path", "")), removals),
        min_size=1,
        max_size=3,
    ),
)
def test_a_replacement_or_removal_that_comes_again_changes_nothing_more(
    document: dict[str, Any], sent: list[dict[str, Any]]
) -> None:
    once = ours(document, sent)
    if isinstance(once, dict):
        assert ours(once, sent) in (once, "mutability")


@law(200)
@given(documents, writes)
def test_one_addition_that_comes_again_changes_nothing_more(document: dict[str, Any], one: dict[str, Any]) -> None:
    once = ours(document, [one | {"op": "add"}])
    if isinstance(once, dict) and "[" not in one.get("path", ""):
        assert ours(once, [one | {"op": "add"}]) == once


@law(200)
@given(documents, operations, operations)
def test_operations_are_applied_in_order(
    document: dict[str, Any], first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    between = ours(document, first)
    if isinstance(between, dict):
        assert ours(document, [*first, *second]) == ours(between, second)


# -- the same over HTTP


@pytest.mark.django_db
def test_what_was_said_is_answered_and_said_again_changes_nothing(idp: Idp) -> None:
    number = iter(range(10_000))

    @law(40)
    @given(documents)
    def holds(document: dict[str, Any]) -> None:
        unique = {"userName": f"u{next(number)}", "active": True}
        said = {**document, **unique}
        said.pop("externalId", None)
        made = idp.post("/Users", {"schemas": [USER_SCHEMA.id], **said})
        assert made.status == 201, (said, made)
        path = f"/Users/{made['id']}"
        answered = idp.get(path)
        expected = canonical(normalise({"schemas": [USER_SCHEMA.id], **said}, USER, []).document)
        assert {name: value for name, value in canonical(answered.body).items() if name in expected} == expected
        again = idp.put(path, answered.body)
        assert again.status == 200, again
        assert again.body == answered.body
        assert again.headers["ETag"] == answered.headers["ETag"]
        assert idp.last().outcome == "same"

    holds()


def shown(reply: Reply) -> dict[str, Any]:
    """What is answered of a resource, without what the server says of it."""
    return {name: value for name, value in reply.body.items() if name != "meta"}


@pytest.mark.django_db
def test_a_patch_without_effect_changes_no_version_and_a_refused_one_nothing(idp: Idp) -> None:
    path = f"/Users/{idp.user('ada', title='a', name={'givenName': 'a'}, emails=[{'value': 'a', 'type': 'work'}])}"

    @law(60)
    @given(operations)
    def holds(sent: list[dict[str, Any]]) -> None:
        sent = [one for one in sent if "active" not in str(one)] or [{"op": "add", "path": "title", "value": "a"}]
        before = idp.get(path)
        answer = idp.patch(path, *sent)
        assert answer.status in {200, 400}, (sent, answer)
        after = idp.get(path)
        same = shown(after) == shown(before)
        assert (after.headers["ETag"] == before.headers["ETag"]) is same, sent
        assert not same or after.body == before.body
        if answer.status == 400:
            assert same and answer["scimType"], answer

    holds()
