"""What every model keeps to: it is tracked or excused, its choices and states are rules of the database."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.db import models
from django.db.models import Q

from audit.grants import rights_of
from audit.management.commands.draw_states import tables
from audit.models import Rights, is_history, tracked

if TYPE_CHECKING:
    from audit.transitions import Table

pytestmark = pytest.mark.house

FLOORS = ("audit", "accounts", "provisioning", "governance")
# Models whose rows have a state and no table of states, each with its reason. None.
WITHOUT_TABLE: dict[str, str] = {}


def nouns() -> list[type[models.Model]]:
    return [m for floor in FLOORS for m in apps.get_app_config(floor).get_models() if not is_history(m)]


def checks(model: type[models.Model]) -> list[models.CheckConstraint]:
    return [c for c in model._meta.constraints if isinstance(c, models.CheckConstraint)]


def allowed_by(model: type[models.Model], field: str) -> list[tuple[str, set[object]]]:
    """Name and values of every rule that is nothing but `field in values`."""
    found = []
    for rule in checks(model):
        condition = rule.condition
        if isinstance(condition, Q) and not condition.negated and len(condition.children) == 1:
            child = condition.children[0]
            if isinstance(child, tuple) and child[0] == f"{field}__in":
                found.append((rule.name, set(child[1])))
    return found


def state_tables() -> list[Table]:
    return [table for floor in tables().values() for table in floor]


@pytest.mark.parametrize("model", nouns(), ids=lambda m: m.__name__)
def test_every_model_is_tracked_or_excused_with_a_reason_and_says_its_rights(model):
    if tracked(model):
        assert not hasattr(model, "untracked")
        assert rights_of(model) == Rights.NOUN
    else:
        assert len(model.untracked) > 10
        assert rights_of(model) in {Rights.EVIDENCE, Rights.BOUNDED, Rights.ERASURE}
    assert "rights" in {name for base in model.__mro__ for name in vars(base)}
    assert model._meta.default_permissions == ()


@pytest.mark.parametrize("model", nouns(), ids=lambda m: m.__name__)
def test_every_field_with_choices_has_a_rule_of_the_database_with_the_same_values(model):
    for field in model._meta.local_fields:
        if field.choices:
            values = {value for value, _ in field.flatchoices}
            rules = allowed_by(model, field.name)
            assert [allowed for _, allowed in rules] == [values], f"{model.__name__}.{field.name}"
            assert rules[0][0].endswith("_is_known"), rules[0][0]


@pytest.mark.parametrize("model", nouns(), ids=lambda m: m.__name__)
def test_every_rule_and_index_has_a_name_that_postgresql_keeps_and_that_says_whose_it_is(model):
    for rule in (*model._meta.constraints, *model._meta.indexes):
        assert rule.name.startswith(f"{model._meta.app_label}_"), rule.name
        assert len(rule.name) <= 63, rule.name
        assert rule.name == rule.name.lower()


def test_no_two_rules_have_one_name():
    names = [rule.name for m in nouns() for rule in (*m._meta.constraints, *m._meta.indexes)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("table", state_tables(), ids=lambda t: t.name)
def test_a_state_table_its_model_and_the_database_know_the_same_states(table):
    model = next(m for m in nouns() if m._meta.model_name == table.name)
    field = model._meta.get_field("state")
    assert {value for value, _ in field.flatchoices} == table.states
    assert [states for _, states in allowed_by(model, "state")] == [table.states]
    assert field.default in table.initial
    assert table.final < table.states


def test_every_model_with_a_state_has_its_table():
    with_state = {m._meta.model_name for m in nouns() if any(f.name == "state" for f in m._meta.local_fields)}
    assert with_state == {table.name for table in state_tables()} | set(WITHOUT_TABLE)


def test_every_state_table_is_listed_and_its_name_is_its_only_one():
    for floor in tables():
        module = import_module(f"{floor}.states")
        defined = [value for value in vars(module).values() if type(value).__name__ == "Table"]
        assert set(defined_names := [t.name for t in defined]) == {t.name for t in module.ALL}
        assert len(defined_names) == len(module.ALL)


@pytest.mark.parametrize("model", nouns(), ids=lambda m: m.__name__)
def test_what_is_an_instant_or_a_day_is_called_so(model):
    for field in model._meta.local_fields:
        if isinstance(field, models.DateTimeField):
            assert field.name in {
                "at",
                "since",
                "until",
                "deadline",
                "state_since",
                "last_login",
            } or field.name.endswith(("_at", "_since", "_until")), f"{model.__name__}.{field.name}"
        elif field.name.endswith(("_at", "_until")):
            pytest.fail(f"{model.__name__}.{field.name} is called an instant and is none")


@pytest.mark.parametrize("model", nouns(), ids=lambda m: m.__name__)
def test_no_noun_disappears_with_another(model):
    for field in model._meta.local_fields:
        if isinstance(field, models.ForeignKey):
            assert field.remote_field.on_delete is models.PROTECT, f"{model.__name__}.{field.name}"
