"""Each rule that the database keeps has a test that breaks it, by its name."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.apps import apps

from audit.models import is_history
from tests.house import rows

if TYPE_CHECKING:
    from django.db import models

pytestmark = pytest.mark.house

ROOT = Path(__file__).parents[2]
FLOORS = ("accounts", "provisioning", "governance")


def nouns(floor: str) -> list[type[models.Model]]:
    return [m for m in apps.get_app_config(floor).get_models() if not is_history(m)]


@pytest.mark.parametrize("floor", FLOORS)
def test_every_named_rule_of_a_floor_is_broken_by_a_test(floor):
    named = {rule.name for model in nouns(floor) for rule in model._meta.constraints}
    breaks = import_module(f"tests.{floor}.test_constraints").BREAKS
    assert set(breaks) == named
    assert all(len(attempts) > 0 for attempts in breaks.values())


def test_the_rules_of_the_ground_floor_are_broken_where_causes_and_seals_are_tested():
    named = {rule.name for model in nouns("audit") for rule in model._meta.constraints}
    places = [ROOT / "tests" / "audit" / f"test_{what}.py" for what in ("cause", "erased", "sealing")]
    text = "".join(place.read_text(encoding="utf-8") for place in places)
    assert named
    assert {name for name in named if f'"{name}"' not in text} == set()


def test_every_code_that_the_database_raises_is_expected_by_a_test_and_no_other_is():
    raised: set[str] = set()
    for path in [ROOT / "audit" / "functions.sql", *ROOT.glob("*/migrations/*.py")]:
        raised |= set(re.findall(r"ERRCODE = '(RC\d{3})'", path.read_text(encoding="utf-8")))
    expected: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        expected |= set(re.findall(r'"(RC\d{3})"', path.read_text(encoding="utf-8")))
    assert len(raised) > 15
    assert expected == raised


def test_every_noun_that_has_rules_has_a_smallest_row_to_break_them_from():
    with_rules = {m.__name__ for floor in FLOORS for m in nouns(floor) if m._meta.constraints}
    assert with_rules <= set(rows.MAKERS)
