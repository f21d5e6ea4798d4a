"""The ledger: one Exchange for each request that could change something, in the transaction of its effect."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection

from accounts.models import Account
from accounts.models.group import Membership
from audit import crashpoints
from audit.models import Cause, JournalEntry
from audit.scope import scope
from provisioning import intake
from provisioning.models.exchange import Exchange, ExchangeKey
from provisioning.models.shadow import Shadow
from provisioning.scim import effects, recording
from provisioning.scim.keeping import LEFT_OUT, MOST_IN_FULL, kept_patch, kept_resource
from provisioning.scim.metadata.catalogue import GROUP, NHI_URN, USER_URN
from tests.conftest import as_owner
from tests.factories.scim import a_group, a_user, opened

if TYPE_CHECKING:
    from tests.factories.scim import Idp

pytestmark = pytest.mark.face


def rows(idp: Idp, model: Any, **values: Any) -> list[Any]:
    with scope(tenant=idp.tenant.pk):
        return list(model.objects.filter(**values).order_by("pk"))


def take_in(monkeypatch: pytest.MonkeyPatch, create: Any, *, family: Any = "account") -> None:
    """Let what a system makes of one family be taken in by something else."""
    monkeypatch.setitem(effects._DOORS, family, replace(effects._DOORS[family], create=create))


def test_an_exchange_has_who_what_and_what_became_of_it(idp: Idp) -> None:
    made = idp.post("/Users", a_user("ada", active="True", title="x"))
    exchange = idp.last()
    assert (exchange.method, exchange.path, exchange.status) == ("POST", "/Users", 201)
    assert (exchange.resource_type, str(exchange.resource_id), exchange.resource_label) == ("User", made["id"], "ada")
    assert (exchange.intent, exchange.outcome, exchange.error, exchange.remote) == (
        "create",
        "applied",
        "",
        "127.0.0.1",
    )
    assert exchange.request == {"schemas": [USER_URN], "userName": "ada", "active": "True", "title": "x"}
    assert exchange.answer == made.body
    assert exchange.coercions == [{"attribute": "active", "sent": "True", "read_as": "true", "rule": "boolean_text"}]
    assert exchange.request_bytes == len(json.dumps(a_user("ada", active="True", title="x")))
    assert len(exchange.request_digest) == 64


def test_what_an_exchange_wrote_has_its_cause_and_its_journal(idp: Idp) -> None:
    user = idp.user("ada")
    exchange = idp.last()
    with scope(tenant=idp.tenant.pk):
        cause = Cause.objects.get(pk=exchange.cause_id)
        account = Shadow.objects.get(pk=user).account
        assert account is not None
        assert [one.cause_id for one in account.history.all()] == [cause.pk]
        assert JournalEntry.objects.filter(cause_id=cause.pk).count() == 1
    assert (cause.kind, cause.actor, cause.subject) == ("exchange", "Entra", f"exchange {exchange.pk}")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/Users", a_user("ADA"), 409),
        ("POST", "/Users", {"schemas": [USER_URN]}, 400),
        ("POST", "/Groups", a_group("x", "0193b0c4-0000-7000-8000-000000000001"), 400),
        ("PUT", "/Users/0193b0c4-0000-7000-8000-000000000001", a_user(), 404),
        ("DELETE", "/Users/nobody", None, 404),
        ("POST", "/Me", {}, 501),
        ("POST", "/Bulk", {}, 400),
        ("PUT", "/Users", a_user(), 405),
        ("POST", "/nowhere", {}, 404),
    ],
)
def test_a_refused_request_is_an_exchange_without_any_effect(
    idp: Idp, method: str, path: str, body: Any, status: int
) -> None:
    idp.user("ada")
    accounts, journal = len(rows(idp, Account)), len(rows(idp, JournalEntry))
    answer = idp.call(method, path, body)
    exchange = idp.last()
    assert answer.status == exchange.status == status
    assert (exchange.outcome, exchange.intent) == ("rejected", "unknown")
    assert exchange.error
    assert len(rows(idp, Account)) == accounts
    assert len(rows(idp, JournalEntry)) == journal
    assert rows(idp, JournalEntry, cause_id=exchange.cause_id) == []


def test_a_broken_body_leaves_its_digest_and_size_and_no_content(idp: Idp) -> None:
    assert idp.call("POST", "/Users", raw=b'{"userName": "ada", "title": ').status == 400
    exchange = idp.last()
    assert (exchange.request, exchange.request_bytes) == (None, 29)
    assert len(exchange.request_digest) == 64


def test_a_bug_is_a_500_in_scim_and_leaves_nothing_but_its_exchange(
    idp: Idp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: Any, **__: Any) -> None:
        raise RuntimeError("the value was S3cret-value")

    # The account has been written when this breaks.
    monkeypatch.setattr(intake, "save_shadow", break_down)
    answer = idp.post("/Users", a_user("ada"))
    assert answer.status == 500
    assert answer["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    exchange = idp.last()
    assert (exchange.outcome, exchange.status) == ("rejected", 500)
    assert rows(idp, Account) == rows(idp, JournalEntry, cause_id=exchange.cause_id) == []
    assert "S3cret-value" not in caplog.text + str(answer.body) + exchange.error
    assert "RuntimeError" in caplog.text


def test_a_broken_foreign_key_is_found_before_the_answer(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = intake.create_account

    def with_a_broken_key(**values: Any) -> Any:
        taken = wish(**values)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE provisioning_shadow SET account_id = gen_random_uuid() WHERE id = %s", [taken.shadow.pk]
            )
        return taken

    take_in(monkeypatch, with_a_broken_key)
    answer = idp.post("/Users", a_user("ada"))
    assert answer.status == 409
    assert "foreign" not in str(answer.body)
    assert "_shadow" not in str(answer.body) + idp.last().error
    assert idp.last().outcome == "rejected"
    assert rows(idp, Account) == []


def test_an_exchange_that_can_not_be_closed_is_parked_and_its_effect_is_gone(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, calls = recording.insert, []

    def fail_once(*args: Any, **values: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise IntegrityError("detail: Key (user_name)=(ada)")
        insert(*args, **values)

    monkeypatch.setattr(recording, "insert", fail_once)
    answer = idp.post("/Users", a_user("ada"))
    assert answer.status == 500
    (exchange,) = idp.exchanges()
    assert (exchange.outcome, exchange.status) == ("parked", 500)
    assert "ada" not in exchange.error
    assert rows(idp, Account) == rows(idp, Shadow) == []
    assert idp.post("/Users", a_user("ada")).status == 201


def test_a_passing_database_problem_is_tried_again(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    wish, calls = intake.create_account, []

    def deadlock_once(**values: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            with connection.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE 'no' USING ERRCODE = '40P01'; END $$")
        return wish(**values)

    take_in(monkeypatch, deadlock_once)
    assert idp.post("/Users", a_user("ada")).status == 201
    assert [one.outcome for one in idp.exchanges()] == ["applied"]
    assert len(calls) == 2


def test_a_problem_that_does_not_pass_is_answered_503_and_parked(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    def deadlock(**_: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE 'no' USING ERRCODE = '40001'; END $$")

    take_in(monkeypatch, deadlock, family="group")
    answer = idp.post("/Groups", a_group())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert [one.outcome for one in idp.exchanges()] == ["parked"]


# -- repeats


def test_a_repeat_is_answered_as_before_and_changes_nothing(idp: Idp) -> None:
    body = a_user("ada", title="x")
    first = idp.post("/Users", body, Idempotency_Key="k-1")
    again = idp.post("/Users", dict(reversed(body.items())), Idempotency_Key="k-1")
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert again.headers["Location"] == first.headers["Location"]
    one, two = idp.exchanges()
    assert (one.outcome, two.outcome) == ("applied", "duplicate")
    assert (two.resource_id, two.intent) == (one.resource_id, "create")
    assert len(rows(idp, Account)) == 1


def test_a_repeated_delete_is_no_404(idp: Idp) -> None:
    user = idp.user("ada")
    for _ in range(2):
        assert idp.delete(f"/Users/{user}", Idempotency_Key="k").status == 204
    assert idp.delete(f"/Users/{user}").status == 404


def test_a_key_used_for_another_request_is_refused(idp: Idp) -> None:
    idp.post("/Users", a_user("ada"), Idempotency_Key="k")
    refused = idp.post("/Users", a_user("eva"), Idempotency_Key="k")
    assert (refused.status, refused["scimType"]) == (400, "invalidValue")
    assert idp.last().outcome == "rejected"
    assert idp.get("/Users")["totalResults"] == 1


def test_a_refused_request_does_not_use_its_key_up(idp: Idp) -> None:
    assert idp.post("/Users", {"schemas": [USER_URN]}, Idempotency_Key="k").status == 400
    assert idp.post("/Users", a_user("ada"), Idempotency_Key="k").status == 201


def test_a_key_belongs_to_its_system_and_is_kept_as_a_digest(idp: Idp, other: Idp) -> None:
    for one in (idp, other):
        assert one.post("/Users", a_user("ada"), Idempotency_Key="the-key").status == 201
    kept = rows(idp, ExchangeKey)
    assert len(kept) == 2
    assert all("the-key" not in one.key for one in kept)


@pytest.mark.parametrize("key", [" ", "x" * 201, "caf\u00e9"])
def test_a_malformed_key_is_refused(idp: Idp, key: str) -> None:
    assert idp.post("/Users", a_user(), Idempotency_Key=key).status == 400


def test_a_large_answer_is_kept_as_its_digest_and_repeated_from_the_resource(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_ANSWER_BYTES", 100)
    first = idp.post("/Users", a_user("ada"), Idempotency_Key="k")
    assert idp.last().answer.keys() == {"id", "version", "digest"}
    assert idp.post("/Users", a_user("ada"), Idempotency_Key="k").body == first.body


def test_an_answer_that_looks_like_a_secret_is_masked_in_the_ledger_and_not_in_the_repeat(idp: Idp) -> None:
    body = a_user("ada", title="Basic training")
    first = idp.post("/Users", body, Idempotency_Key="k")
    assert first["title"] == "Basic training"
    assert idp.last().answer["title"] == "***"
    assert idp.post("/Users", body, Idempotency_Key="k").body == first.body


@pytest.mark.parametrize("many", [False, True])
def test_of_many_members_their_ids_are_kept_and_of_few_what_was_said_of_them(many: bool) -> None:
    count = MOST_IN_FULL + many
    ids = [str(UUID(int=n)) for n in range(1, count + 1)]
    said = [{"value": one, "type": "User", "display": "Ada", "$ref": f"https://x/Users/{one}"} for one in ids]
    few = [{"value": one, "type": "User", "$ref": f"https://x/Users/{one}", LEFT_OUT: 1} for one in ids]
    wanted = [{"value": one} for one in ids] if many else few
    assert kept_resource({"displayName": "Staff", "members": said}, GROUP)["members"] == wanted
    operation = {"op": "add", "path": "members", "value": said}
    assert kept_patch({"Operations": [operation]}, GROUP)["Operations"][0]["value"] == wanted


@pytest.mark.parametrize("odd", ["secret", {"password": "x"}, {"value": "secret"}, {"value": 1, "password": "x"}, 7])
def test_what_is_no_member_is_kept_of_many_as_of_few(odd: Any) -> None:
    (alone,) = kept_resource({"members": [odd]}, GROUP)["members"]
    among = kept_resource({"members": [odd] * (MOST_IN_FULL + 1)}, GROUP)["members"]
    assert among == [alone] * (MOST_IN_FULL + 1)
    assert alone != {"password": "x"}


def test_a_member_named_in_a_path_is_kept_with_it() -> None:
    path = f'members[value eq "{UUID(int=1)}"]'
    operations = [{"op": "remove", "path": path}, {"op": "remove", "path": 'members[value eq "x"] or password'}]
    assert kept_patch({"Operations": operations}, GROUP)["Operations"] == [
        {"op": "remove", "path": path},
        {"op": "remove", "path": LEFT_OUT},
    ]


# -- what is never kept

MARK = "PLANTED-8f3a91c2"

BODIES: list[Any] = [
    a_user(password=MARK),
    a_user(favouriteColour=MARK),
    a_user(favourite={"colour": [MARK]}),
    a_user(**{MARK: "x"}),
    a_user(title={"x": MARK}),
    a_user(title=[{"x": MARK}]),
    a_user(name={"x": MARK}),
    a_user(name=f'{{"password": "{MARK}"}}'),
    a_user(emails=[{"value": "a@b.c", "x": MARK}]),
    a_user(schemas=[USER_URN, f"urn:{MARK}"], active="no"),
    a_user("new", schemas=[USER_URN, f"urn:{MARK}:2"], **{f"urn:{MARK}:x": {"a": MARK}}),
    {"Operations": [{"op": "replace", "value": {f"urn:{MARK}:x": MARK, "title": "x"}}]},
    {"Operations": [{"op": "replace", "path": "password", "value": MARK}]},
    {"Operations": [{"op": "replace", "path": f"password[x eq {MARK}]", "value": "x"}]},
    {"Operations": [{"op": "replace", "value": {"password": MARK}}]},
    {"Operations": [{"op": "replace", "value": {"x": MARK}}]},
    {"Operations": [{"op": "replace", "value": f'{{"password": "{MARK}"}}'}]},
    {"Operations": [{"op": MARK, "path": "title"}]},
    {"Operations": [{"op": "replace", "path": MARK, "value": MARK}]},
    {"Operations": [{"op": "replace", "path": "title", "value": {"x": MARK}}]},
    {"Operations": [MARK], MARK: MARK},
    [MARK],
    MARK,
]


def dump() -> str:
    """Everything in the database, as text."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        tables = [name for (name,) in cursor.fetchall()]
        texts = []
        for table in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {table} t")
            texts.append(cursor.fetchone()[0])
    # What is encrypted must hold no secret either.
    texts += [f"{one.request}{one.answer}" for one in opened(Exchange.objects.all())]
    return "\n".join(texts)


def test_the_dump_would_show_what_is_kept(idp: Idp) -> None:
    idp.user("ada", title=MARK)
    with scope(tenant=idp.tenant.pk):
        assert dump().count(MARK) >= 3


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_planted_secret_is_nowhere_in_the_database_or_the_logs(
    idp: Idp, method: str, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/Users" if method == "POST" else f"/Users/{idp.user('ada')}"
    answer = idp.call(method, path, body, Idempotency_Key=MARK, X_Anything=MARK, User_Agent=MARK, Referer=MARK)
    assert answer.status in {200, 201, 400}
    with scope(tenant=idp.tenant.pk):
        assert MARK not in dump()
        assert Exchange.objects.filter(method=method).exists()
    assert MARK not in caplog.text


@pytest.mark.parametrize("raw", [b'{"password": "%s', b"%s", b'\xff{"title": "%s"}', b'{"a": "%s", "a": "%s"}'])
def test_a_secret_in_a_broken_body_is_nowhere(idp: Idp, raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert idp.call("POST", "/Users", raw=raw.replace(b"%s", MARK.encode())).status == 400
    with scope(tenant=idp.tenant.pk):
        assert MARK not in dump()
    assert MARK not in caplog.text


@pytest.mark.parametrize(
    "path",
    [f'/Users?filter=userName eq "{MARK}"', f"/Users?{MARK}={MARK}", f"/Users?sortBy={MARK}", f"/Groups?count={MARK}"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_secret_in_a_query_is_nowhere(idp: Idp, method: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    idp.call(method, path, a_user() if method == "POST" else None)
    idp.call(method, path, Authorization=f"Bearer {MARK}")
    with scope(tenant=idp.tenant.pk):
        assert MARK not in dump()
    assert MARK not in caplog.text


# -- crash points


def test_the_crash_points_of_a_request_are_named() -> None:
    assert {name for name in crashpoints.POINTS if name.startswith("scim-")} == {
        "scim-before-effect", "scim-after-effect", "scim-after-exchange", "scim-after-commit",
    }  # fmt: skip


CRASH = """
import django
django.setup()
from django.db.backends.signals import connection_created
from tests.conftest import _become_app
connection_created.connect(_become_app)
from django.test import Client
Client(SERVER_NAME="localhost").post(
    "/scim/v2/Users", {"userName": "ada", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]},
    content_type="application/json", headers={"Authorization": "Bearer " + __import__("os").environ["TOKEN"]})
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("scim-before-effect", False),
        ("scim-after-effect", False),
        ("scim-after-exchange", False),
        ("scim-after-commit", True),
    ],
)
def test_a_process_that_dies_in_a_request_keeps_all_of_it_or_nothing(
    transactional_db: None, idp: Idp, name: str, is_kept: bool
) -> None:
    settings = connection.settings_dict
    owner = f"postgres://{settings['USER']}:{settings['PASSWORD']}@{settings['HOST']}:{settings['PORT']}"
    died = subprocess.run(
        [sys.executable, "-c", CRASH],
        env={
            **os.environ,
            "ROLLCALL_CRASH_AT": name,
            "TOKEN": idp.token,
            "DATABASE_OWNER_URL": f"{owner}/{settings['NAME']}",
        },
        check=False,
        timeout=60,
        capture_output=True,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    kept = 1 if is_kept else 0
    assert [len(rows(idp, model)) for model in (Exchange, Account, Shadow)] == [kept] * 3
    assert rows(idp, Membership) == []
    assert idp.post("/Users", a_user("ada")).status == (409 if is_kept else 201)


@pytest.mark.parametrize(
    "attributes",
    [
        {"active": "SECRET-18zzyyxx"},
        {"active": 5},
        {"meta": {"created": "SECRET"}},
        {NHI_URN: {"expiresAt": "SECRET"}},
        {NHI_URN: {"kind": "SECRET"}},
        {NHI_URN: {"environment": "SECRET"}},
        {"emails": [{"value": "a@x.example", "primary": "SECRET"}]},
        {"name": "SECRET"},
        {"title": {"SECRET": "SECRET"}},
    ],
)
def test_a_value_that_its_attribute_can_not_have_is_not_kept(idp: Idp, attributes: dict[str, Any]) -> None:
    idp.post("/Users", a_user("ada", **attributes))
    path, value = next(iter(attributes.items()))
    target = f"{path}:{next(iter(value))}" if path == NHI_URN else path
    one = next(iter(value.values())) if path == NHI_URN else value
    idp.patch(f"/Users/{idp.user('eva')}", {"op": "replace", "path": target, "value": one})
    for exchange in idp.exchanges():
        assert "SECRET" not in f"{exchange.request}{exchange.error}{exchange.answer}{exchange.coercions}"
