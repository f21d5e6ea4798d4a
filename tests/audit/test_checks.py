"""A model that is not tracked, has no declared rights or belongs to no tenant is an error before anything runs."""

# ruff: noqa: DJ008  models that nobody prints
from __future__ import annotations

import pytest
from django.apps import AppConfig, apps
from django.db import models
from django.test.utils import isolate_apps

from accounts.models import TenantOwned
from audit.checks import every_model_is_tracked_or_excused
from audit.fields import salt
from audit.history import track
from audit.models import Rights

pytestmark = pytest.mark.unit


class _Config(AppConfig):
    """A floor with only the models of a test."""

    def __init__(self, *found: type[models.Model]) -> None:
        self.name = self.label = "audit"
        self._found = found

    def get_models(self, include_auto_created: bool = False, include_swapped: bool = False):
        return iter(self._found)


def complaints(*found: type[models.Model]) -> list[str | None]:
    return [error.id for error in every_model_is_tracked_or_excused([_Config(*found)])]


@isolate_apps("audit")
def test_a_bare_model_is_complained_of_three_times():
    class Bare(models.Model):
        class Meta:
            app_label = "audit"

    assert complaints(Bare) == ["audit.E001", "audit.E002", "audit.E003"]


@isolate_apps("audit")
def test_a_model_that_says_why_it_is_otherwise_passes():
    class Excused(models.Model):
        untracked = "a ring"
        global_because = "belongs to all"
        rights = Rights.READ

        class Meta:
            app_label = "audit"

    assert complaints(Excused) == []


@isolate_apps("audit")
def test_an_empty_reason_is_none():
    class Vague(models.Model):
        untracked = ""
        global_because = ""
        rights = Rights.READ

        class Meta:
            app_label = "audit"

    assert complaints(Vague) == ["audit.E001", "audit.E003"]


@isolate_apps("audit", "accounts")
def test_a_tracked_tenant_owned_model_passes_and_so_does_its_history():
    class Kept(TenantOwned):
        personal = ()
        history = track()

        class Meta(TenantOwned.Meta):
            app_label = "audit"

    assert complaints(Kept, Kept.history.model) == []


@isolate_apps("audit", "accounts")
def test_a_tracked_model_must_say_which_of_its_columns_are_personal():
    class Silent(TenantOwned):
        history = track()

        class Meta(TenantOwned.Meta):
            app_label = "audit"

    assert complaints(Silent) == ["audit.E005"]


@pytest.mark.parametrize("named", ["nothing", "of_no_kind"])
@isolate_apps("audit", "accounts")
def test_what_can_not_be_sealed_is_complained_of(named, monkeypatch):
    class Odd(TenantOwned):
        personal = (named,)
        rights = Rights.EVIDENCE
        untracked = "a test"
        cause_id = models.BigIntegerField()
        salt = salt()
        of_no_kind = models.FloatField()

        class Meta(TenantOwned.Meta):
            app_label = "audit"

    monkeypatch.setattr("audit.checks.sealed_models", lambda: (Odd,))
    assert complaints(Odd) == ["audit.E006"]


@isolate_apps("audit", "accounts")
def test_a_model_that_inherits_a_table_is_refused():
    class Parent(TenantOwned):
        untracked = "a test"

        class Meta(TenantOwned.Meta):
            app_label = "audit"

    class Child(Parent):
        class Meta(TenantOwned.Meta):
            app_label = "audit"

    assert "audit.E004" in complaints(Child)
    assert "audit.E004" not in complaints(Parent)


def test_every_model_of_the_product_passes_and_other_apps_are_not_asked():
    assert every_model_is_tracked_or_excused(None) == []
    assert every_model_is_tracked_or_excused([apps.get_app_config("sessions")]) == []
