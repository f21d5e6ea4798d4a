"""Tokens: shown once, two at a time, found with the same work; and the rings of what was read and refused."""

import datetime as dt
import hashlib
import hmac
import re

import pytest
from django.conf import settings
from django.db import connection as database

from accounts.models import SystemKind
from audit.scope import scope
from provisioning import systems, tokens
from provisioning.models import ReadRecord, RefusedToken, SystemToken
from provisioning.systems import BadSystem
from provisioning.tokens import Refusal, Refused
from tests.conftest import AT, a_cause

YEAR = dt.timedelta(days=365)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def system(tenant, because):
    return make(tenant)


def make(tenant, name="Okta", **values):
    return systems.make_system(
        **{"tenant_id": tenant.pk, "name": name, "kind": SystemKind.DIRECTORY, "made_by": None, "at": AT} | values
    )


def token_of(system, *, at=AT, **values):
    return tokens.make_token(
        **{
            "system": system,
            "label": "prod",
            "may": ["read", "write"],
            "expires_at": at + YEAR,
            "made_by": None,
            "at": at,
        }
        | values
    )


# -- tokens


def test_a_token_is_shown_once_and_only_its_keyed_digest_is_kept(system):
    token, text = token_of(system)
    assert re.fullmatch(rf"rc_{token.pk.hex}_[A-Za-z0-9_-]{{43}}", text)
    token.refresh_from_db()
    assert token.digest == hmac.new(settings.ROLLCALL_TOKEN_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    with database.cursor() as cursor:
        cursor.execute("SELECT string_agg(t::text, '') FROM provisioning_systemtoken t")
        kept = cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(h::text, '') FROM provisioning_historicalsystemtoken h")
        kept += cursor.fetchone()[0]
    assert text.rpartition("_")[2] not in kept
    assert text[-43:] not in kept


def test_a_live_token_is_found_without_a_tenant(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        token, text = token_of(make(tenant))
    found = tokens.find_token(text, at=AT)
    assert isinstance(found, SystemToken)
    assert (found.pk, found.tenant_id) == (token.pk, tenant.pk)


def test_what_is_no_live_token_is_refused_with_its_reason(system):
    token, text = token_of(system, expires_at=AT + HOUR)
    other, other_text = token_of(system)
    tokens.end_token(token=other, reason="leaked", at=AT + HOUR)
    swapped = f"rc_{token.pk.hex}_{other_text.split('_', 2)[2]}"
    unknown = f"rc_{'0' * 32}_{text.split('_', 2)[2]}"
    refused = {
        "": Refused(Refusal.MALFORMED),
        "Bearer": Refused(Refusal.MALFORMED),
        text + "\n": Refused(Refusal.MALFORMED),
        text + "x": Refused(Refusal.WRONG, token.pk),
        text.upper(): Refused(Refusal.MALFORMED),
        swapped: Refused(Refusal.WRONG, token.pk),
        text: Refused(Refusal.EXPIRED, token.pk),
        other_text: Refused(Refusal.ENDED, other.pk),
    }
    assert {one: tokens.find_token(one, at=AT + HOUR) for one in refused} == refused
    assert tokens.find_token(unknown, at=AT).why == Refusal.UNKNOWN


@pytest.mark.parametrize("text", ["", "junk", "rc_" + "0" * 32 + "_" + "a" * 43, "known"])
def test_every_look_up_does_the_same_work(system, text, django_assert_num_queries, monkeypatch):
    _, known = token_of(system)
    compared = []
    original = hmac.compare_digest
    monkeypatch.setattr(tokens.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or original(a, b))
    with django_assert_num_queries(1):
        tokens.find_token(known if text == "known" else text, at=AT)
    assert compared == [(64, 64)]


def test_two_tokens_live_at_a_time_and_the_error_says_what_to_do(system):
    first, _ = token_of(system)
    token_of(system)
    with pytest.raises(BadSystem, match="Okta has 2 live tokens: end the one that is no longer used"):
        token_of(system)
    tokens.end_token(token=first, reason="old", at=AT)
    third, _ = token_of(system)
    assert set(SystemToken.objects.filter(ended_at__isnull=True).values_list("pk", flat=True)) >= {third.pk}


@pytest.mark.parametrize("may", [[], ["read", "approve"], ["everything"]])
def test_a_token_may_do_only_what_tokens_may(system, may):
    with pytest.raises(BadSystem, match="A token may be used to read, write"):
        token_of(system, may=may)


def test_a_token_needs_an_end_that_lies_ahead(system):
    with pytest.raises(BadSystem, match="must lie ahead"):
        token_of(system, expires_at=AT)
    assert SystemToken.objects.count() == 0


def test_a_rotated_token_goes_on_for_the_hours_given_and_no_longer(system):
    old, old_text = token_of(system, may=["read"])
    new, new_text = tokens.rotate_token(token=old, expires_at=AT + YEAR, ends_in=3 * HOUR, made_by=None, at=AT)
    assert (new.may, new.label) == (["read"], "prod")
    just_before = AT + 3 * HOUR - dt.timedelta(seconds=1)
    assert tokens.find_token(old_text, at=just_before) == old
    assert tokens.find_token(old_text, at=AT + 3 * HOUR) == Refused(Refusal.ENDED, old.pk)
    assert tokens.find_token(new_text, at=AT + 3 * HOUR) == new
    old.refresh_from_db()
    tokens.end_token(token=old, reason="later", at=AT + 5 * HOUR)
    old.refresh_from_db()
    assert old.ended_at == AT + 3 * HOUR


# -- rings


def test_the_ring_of_reads_keeps_the_newest_of_each_system(tenant, system, monkeypatch):
    monkeypatch.setattr(tokens, "READS_KEPT", 5)
    token, _ = token_of(system)
    other, _ = token_of(make(tenant, name="Other"))
    tokens.record_read(token=other, method="GET", path="/Users", status=200)
    for number in range(12):
        tokens.record_read(token=token, method="GET", path=f"/Users/{number}", status=200, note="n" * 400)
    kept = ReadRecord.objects.filter(system=system).order_by("id")
    assert [one.path for one in kept] == [f"/Users/{number}" for number in range(7, 12)]
    assert {len(one.note) for one in kept} == {300}
    assert ReadRecord.objects.filter(system=other.system_id).count() == 1
    monkeypatch.setattr(tokens, "READS_KEPT", 2)
    assert tokens.trim_reads() == 3


def test_the_ring_of_refused_tokens_keeps_the_newest_and_never_a_token(system, monkeypatch):
    monkeypatch.setattr(tokens, "REFUSED_KEPT", 5)
    token, text = token_of(system)
    for number in range(9):
        refused = tokens.find_token(text + "x", at=AT) if number % 2 else tokens.find_token("junk", at=AT)
        tokens.record_refused(refused=refused, method="POST", path=f"/Users/{number}", remote="192.0.2.7")
    assert [one.path for one in RefusedToken.objects.order_by("id")] == [f"/Users/{n}" for n in range(4, 9)]
    assert [(one.token_id, one.because) for one in tokens.refused_at(system)] == [(token.pk, "wrong secret")] * 2
    with database.cursor() as cursor:
        cursor.execute("SELECT string_agg(t::text, '') FROM provisioning_refusedtoken t")
        assert text.split("_", 2)[2] not in cursor.fetchone()[0]
    monkeypatch.setattr(tokens, "REFUSED_KEPT", 2)
    assert tokens.trim_refused() == 3


def test_the_rings_are_as_long_as_promised():
    assert (tokens.READS_KEPT, tokens.REFUSED_KEPT) == (200, 1_000)
