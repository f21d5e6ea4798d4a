"""The door for catalogues: what is already so writes nothing, and what can't be kept whole is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction

from audit.models import JournalEntry, history_of
from provisioning import catalogue_intake
from provisioning.changes import CatalogueChange
from provisioning.models.shadow import Shadow
from provisioning.shadows import BadValue, Conflict
from tests.factories.words import a_sender

if TYPE_CHECKING:
    import datetime as dt

    from accounts.models import System


def a_role(name: str = "Admin", **values: Any) -> CatalogueChange:
    given = {"external_id": None, "display_name": None, "document": {"value": name}, "resource_type": "Role"}
    return CatalogueChange(**({"name": name} | given | values))


def test_an_entry_is_one_row_with_a_history_and_a_line_of_the_journal(system: System, now: dt.datetime) -> None:
    made = catalogue_intake.create_entry(sender=a_sender(system), change=a_role(display_name="Ädmin"), at=now)
    shadow = Shadow.objects.get(pk=made.shadow.pk)
    assert (shadow.account, shadow.group, shadow.name_key, shadow.display_name_key) == (None, None, "admin", "ädmin")
    assert (made.outcome, made.intent, made.created, shadow.version) == ("applied", "create", True, 1)
    same = catalogue_intake.change_entry(
        sender=a_sender(system), shadow=shadow, change=a_role(display_name="Ädmin"), at=now
    )
    assert (same.outcome, Shadow.objects.get(pk=shadow.pk).version) == ("same", 1)
    changed = catalogue_intake.change_entry(
        sender=a_sender(system), shadow=shadow, change=a_role(document={"value": "Admin", "type": "x"}), at=now
    )
    assert (changed.outcome, Shadow.objects.get(pk=shadow.pk).version) == ("applied", 2)
    ended = catalogue_intake.end_entry(sender=a_sender(system), shadow=shadow, at=now)
    assert (ended.outcome, Shadow.objects.get(pk=shadow.pk).ended_at) == ("applied", now)
    assert history_of(Shadow).objects.filter(id=shadow.pk).count() == 3
    events = JournalEntry.objects.order_by("id").values_list("event", flat=True)
    assert [one for one in events if one.startswith("catalogue.")] == [
        "catalogue.entry_made", "catalogue.entry_changed", "catalogue.entry_ended",
    ]  # fmt: skip


def test_a_name_is_taken_within_its_kind_and_system_alone(system: System, now: dt.datetime) -> None:
    sender = a_sender(system)
    catalogue_intake.create_entry(sender=sender, change=a_role(external_id="1"), at=now)
    with pytest.raises(Conflict, match="this value"), transaction.atomic():
        catalogue_intake.create_entry(sender=sender, change=a_role("ADMIN\u200b"), at=now)
    with pytest.raises(Conflict, match="externalId"), transaction.atomic():
        catalogue_intake.create_entry(sender=sender, change=a_role("other", external_id="1"), at=now)
    catalogue_intake.create_entry(sender=sender, change=a_role(resource_type="Entitlement"), at=now)
    application = a_role(resource_type="AgenticApplication")
    catalogue_intake.create_entry(sender=sender, change=application, at=now)
    with pytest.raises(Conflict, match="this name"), transaction.atomic():
        catalogue_intake.create_entry(sender=sender, change=application, at=now)


@pytest.mark.parametrize(
    ("values", "attribute"),
    [
        ({"name": "\u200b"}, "value"),
        ({"name": "x" * 401}, "value"),
        ({"name": "\ufb03" * 200}, "value"),
        ({"name": " ", "resource_type": "AgenticApplication"}, "name"),
        ({"external_id": "x" * 401}, "externalId"),
    ],
)
def test_what_could_not_be_kept_whole_is_refused(
    system: System, now: dt.datetime, values: dict[str, Any], attribute: str
) -> None:
    with pytest.raises(BadValue) as refused, transaction.atomic():
        catalogue_intake.create_entry(sender=a_sender(system), change=a_role(**values), at=now)
    assert refused.value.attribute == attribute
    assert not Shadow.objects.exists()
