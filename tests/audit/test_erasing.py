"""What is blanked, how, and what is found of a row; erasing a person through it: `tests/provisioning/test_erasure.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction

from accounts import lifecycle, ownership
from accounts.models import Account, Finding, Ownership
from audit import erasing, journal
from audit.grants import for_eraser
from audit.journal import Subject
from audit.layouts import layout_of, sealed_models
from audit.models import ErasedValue, JournalEntry, JournalSubject, history_of, personal_columns
from audit.scope import scope
from tests.audit.test_guards import Event
from tests.conftest import AT, a_cause, as_eraser
from tests.factories.governance import a_person, a_service
from tests.house import rows

pytestmark = pytest.mark.django_db


def erasable() -> list[Any]:
    return [model for model in apps.get_models() if any("UPDATE (" in right for right in for_eraser(model))]


def test_everything_that_is_personal_can_be_blanked_and_what_is_blank_fits_its_column(tenant, because):
    assert len(erasable()) > 30
    with as_eraser(), connection.cursor() as cursor:
        for model in erasable():
            for column, blank in erasing._blanks(model).items():
                field = next(f for f in model._meta.local_fields if f.column == column)
                size = getattr(field, "max_length", None)
                assert size is None or size >= len(erasing.BLANK) + 37 or " || " not in blank
                assert size is None or size >= len(erasing.BLANK)
            # The database takes the statement, whatever rows there are.
            with erasing.unlocked():
                assert erasing.erase(model, []) == 0
                cursor.execute("SELECT 1")


def test_a_kind_of_column_that_nobody_has_thought_of_is_refused():
    field = models.IntegerField(name="age")
    field.set_attributes_from_name("age")
    with pytest.raises(erasing.NotErasable, match=r"Account.age: say in audit.erasing how it is blanked"):
        erasing._blank_of(Account, field)


def test_what_is_about_an_account_is_found_through_all_that_refers_to_it(tenant, because):
    ada, grace = a_person(tenant, "ada", at=AT), a_person(tenant, "grace", at=AT)
    robot = a_service(tenant, "robot", at=AT, owner=ada)
    of_ada = Ownership.objects.get(owner=ada)
    review = rows.review(account=ada)
    decision = rows.decision(review=review)
    rows.review(account=grace)
    found = erasing.about(ada)
    assert found[Account] == {ada.pk}
    assert found[Ownership] == {of_ada.pk}
    assert found[type(review)] == {review.pk}
    assert found[type(decision)] == {decision.pk}
    assert robot.pk not in found[Account]


def test_a_noun_is_blanked_once_and_its_history_tells_of_it_once(tenant, because):
    ada = a_person(tenant, "ada", at=AT, document={"title": "Countess"})
    with as_eraser(), erasing.unlocked():
        assert erasing.erase(Account, [ada.pk]) == 1
        assert erasing.erase(Account, [ada.pk]) == 0
    ada.refresh_from_db()
    assert (ada.user_name, ada.user_name_key, ada.display_name, ada.email, ada.document) == (
        "[erased]", "[erased]", "[erased]", "[erased]", {},
    )  # fmt: skip
    assert history_of(Account).objects.filter(id=ada.pk).count() == 2
    # A noun is not sealed: its history is.
    assert not ErasedValue.objects.exists()


def test_what_must_be_unique_stays_so(tenant, because):
    first, second = rows.finding(), rows.finding()
    with as_eraser(), erasing.unlocked():
        assert erasing.erase(Finding, [first.pk, second.pk]) == 2
    assert set(Finding.objects.values_list("dedupe_key", "title")) == {
        (f"[erased] {first.pk}", "[erased]"),
        (f"[erased] {second.pk}", "[erased]"),
    }


def test_of_what_is_sealed_a_digest_is_kept_and_the_salt_goes(tenant, because):
    entry = journal.record(event=Event.HAPPENED, sentence="Ada left.", subjects=[Subject("account", "7", "ada")])
    entries, labels = erasing.entries_about(["7"], kinds=["account"])
    assert entries == [entry.pk]
    assert erasing.entries_about(["7"], kinds=["group"]) == ([], [])
    assert erasing.entries_about(["7"], kinds=["account"], besides=[entry.cause_id]) == ([], [])
    with as_eraser(), erasing.unlocked():
        assert (erasing.erase(JournalEntry, entries), erasing.erase(JournalSubject, labels)) == (1, 1)
        assert (erasing.erase(JournalEntry, entries), erasing.erase(JournalSubject, labels)) == (0, 0)
    entry.refresh_from_db()
    assert (entry.sentence, entry.facts, entry.salt, entry.event) == ("[erased]", {}, None, "test.happened")
    label = JournalSubject.objects.get()
    assert (label.label, label.salt, label.subject_id) == ("[erased]", None, "7")
    kept = {(one.table_name, one.row_key): len(one.digest) for one in ErasedValue.objects.all()}
    assert kept == {("audit_journalentry", str(entry.pk)): 64, ("audit_journalsubject", str(label.pk)): 64}


def test_without_saying_so_even_the_eraser_changes_no_evidence(tenant, because):
    entry = journal.record(event=Event.HAPPENED, sentence="Ada left.")
    with as_eraser(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        erasing.erase(JournalEntry, [entry.pk])
    assert JournalEntry.objects.get().sentence == "Ada left."


def test_history_of_an_erasure_is_not_erased_again(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        ada = a_person(tenant, "ada", at=AT)
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        lifecycle.change(account=ada, fields={"display_name": "Ada"})
        found = dict(erasing.with_history({Account: {ada.pk}}, besides=[cause.pk]))
        whole = dict(erasing.with_history({Account: {ada.pk}}))
    assert found[Account] == [ada.pk]
    assert (len(found[history_of(Account)]), len(whole[history_of(Account)])) == (1, 2)


def test_every_sealed_table_with_something_personal_has_a_salt_to_be_taken():
    for model in sealed_models():
        if personal_columns(model):
            assert "salt" in {f.column for f in model._meta.local_fields}, model


def test_ownership_words_are_about_both_who_owns_and_what_is_owned(tenant, because):
    ada = a_person(tenant, "ada", at=AT)
    robot = a_service(tenant, "robot", at=AT)
    offered = ownership.offer(account=robot, owner=ada, at=AT)
    assert erasing.about(ada)[Ownership] == erasing.about(robot)[Ownership] == {offered.pk}


def test_what_a_seal_hashed_openly_stays_though_it_is_called_personal_today(tenant, because, monkeypatch):
    entry = journal.record(event=Event.HAPPENED, sentence="Ada left.", facts={"was": "open"})
    today = layout_of(JournalEntry)
    facts = [one for one in today.personal if one[0] == "facts"]
    then = replace(today, open=(*today.open, *facts), personal=tuple(p for p in today.personal if p[0] != "facts"))
    monkeypatch.setattr(erasing, "_by_layout", lambda _, keys: {then: list(keys)})
    with as_eraser(), erasing.unlocked():
        assert erasing.erase(JournalEntry, [entry.pk]) == 1
    entry.refresh_from_db()
    assert (entry.sentence, entry.facts, entry.salt) == ("[erased]", {"was": "open"}, None)
