"""How a system is read: over SCIM, or from files that it sends. Each way has a form of its own, and one takes the other's place."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models.system import System
from accounts.models.tenant import Tenant
from accounts.rules import Word
from governance.admin import tokens
from governance.admin.system_forms import ConnectionForm, FilesForm, ReadingForm, changes_of
from governance.pages import Ask, PageRequest, ask, page
from provisioning import connections as door
from provisioning import shelves
from provisioning.models.connection import Connection, Connector
from provisioning.models.upload import Upload


@dataclass(frozen=True)
class Files:
    """Where a system sends its files, and the newest that was taken."""

    url: str
    newest: Upload | None


def files_of(system: System, connection: Connection | None) -> Files | None:
    """Of a system that is read from files."""
    if connection is None or connection.connector != Connector.FILE:
        return None
    return Files(_address(system), shelves.newest(system=system.pk))


def _address(system: System) -> str:
    slug = Tenant.objects.values_list("slug", flat=True).get(pk=system.tenant_id)
    return f"{settings.ROLLCALL_PUBLIC_URL}/files/v1/{slug}/{system.pk}"


@page(Word.SYSTEM_MANAGE)
def over_scim(request: PageRequest, pk: UUID) -> HttpResponse:
    """Say how a system is read over SCIM, or change it."""
    sends = _("We send it GET requests with this token, and follow no redirect and no link to another place.")
    return _connect(request, pk, connector=Connector.SCIM, form_class=ConnectionForm, first=[sends])


@page(Word.SYSTEM_MANAGE)
def from_files(request: PageRequest, pk: UUID) -> HttpResponse:
    """Say with what the files of a system are signed, or change it."""
    first = [
        _("Whoever knows the secret may send files to %(address)s: CSV, or a SCIM document on each line.")
        % {"address": _address(tokens.living(pk))},
        _("A file is as old as it says; past the age below the system is grey, whatever was read meanwhile."),
        _("An ending is not read back there at once: the next file shows it."),
    ]
    return _connect(request, pk, connector=Connector.FILE, form_class=FilesForm, first=first)


def _connect(
    request: PageRequest, pk: UUID, *, connector: Connector, form_class: type[ReadingForm], first: list[str]
) -> HttpResponse:
    found = tokens.living(pk)
    existing = Connection.objects.filter(system=found).first()

    def do(cleaned: dict[str, Any]) -> str:
        values = changes_of(cleaned, connector=connector)
        if existing is None:
            door.connect(system=found, at=request.at, **({"secret": ""} | values))
        else:
            door.change_connection(connection=existing, at=request.at, **values)
        return _("%(system)s is read every %(n)d minutes. A first reading is due now.") % {
            "system": found.name, "n": cleaned["cadence_minutes"],
        }  # fmt: skip

    facts = []
    if existing is not None and existing.connector != connector:
        facts = [(_("Now"), existing.get_connector_display())]
        first = [*first, _("It is read in this way alone from then on; the stored secret of the other is forgotten.")]
    asked = Ask(
        title=(_("Read %(system)s?") if existing is None else _("Change how %(system)s is read?"))
        % {"system": found.name},
        button=_("Read 1 system") if existing is None else _("Change 1 connection"),
        keep=reverse("system", args=[pk]),
        facts=facts,
        consequences=[
            *first,
            _(
                "What a complete reading shows as gone or less here becomes a finding or a plan; nothing is written there."
            ),
            _("You count as asking for what it asks for, for 30 days: you can't approve that."),
        ],
    )
    return ask(request, asked, do=do, form_class=form_class, refusals=tokens.REFUSALS, existing=existing)
