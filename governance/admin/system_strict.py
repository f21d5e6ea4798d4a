"""Whether a system must send plain SCIM: the verb that makes it strict, or tolerant again."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.rules import Word
from governance.admin import tokens
from governance.pages import Ask, PageRequest, ask, page
from provisioning import systems as door
from provisioning.seen import coercions_seen


@page(Word.SYSTEM_MANAGE)
def strictness(request: PageRequest, pk: UUID) -> HttpResponse:
    """Make a tolerant system strict, or a strict one tolerant."""
    found = tokens.living(pk)
    to_strict = not found.is_strict

    def do(cleaned: dict[str, Any]) -> str:
        door.change_strictness(system=found, is_strict=to_strict, reason=cleaned["reason"], at=request.at)
        said = (
            _("%(system)s is strict: what is not plain SCIM is refused.")
            if to_strict
            else _("%(system)s is tolerant: what it means is read, and each departure is noted.")
        )
        return said % {"system": found.name}

    seen = coercions_seen(found, since=None)
    asked = Ask(
        title=(_("Refuse what %(system)s sends that is not plain SCIM?") if to_strict
               else _("Read what %(system)s sends as it is meant?")) % {"system": found.name},
        button=_("Make 1 system strict") if to_strict else _("Make 1 system tolerant"),
        keep=reverse("system", args=[pk]),
        facts=[
            (_("Now"), _("strict") if found.is_strict else _("tolerant")),
            (_("Tolerated lately"), ", ".join(f"{one.rule} ({one.count})" for one in seen) or _("nothing")),
        ],
        consequences=_to_strict() if to_strict else _to_tolerant(),
        is_danger=to_strict,
    )  # fmt: skip
    return ask(request, asked, do=do, refusals=tokens.REFUSALS)


def _to_strict() -> list[str]:
    return [
        _("Each request that would be read with tolerance is answered 400, and nothing of it is done: endings too."),
        _("A PATCH without a path is refused, and a filter that chooses values must name what of them it changes."),
        _("Okta and Entra as they come send such requests: leave them tolerant unless their own settings forbid it."),
        _("What is refused stands in the ledger with the rule and the attribute; its discovery says that it conforms."),
        _("For 30 days you can't approve what this system asks for."),
    ]


def _to_tolerant() -> list[str]:
    return [
        _("Known departures from plain SCIM are read as they are meant, and noted with each request."),
        _("What was refused before is not done now: the system sends it again, or not."),
        _("For 30 days you can't approve what this system asks for."),
    ]
