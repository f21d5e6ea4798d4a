"""What was tolerated in a request, and what intake noted of it: two things that the ledger keeps in one column."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, F, Func, QuerySet
from django.utils.translation import gettext_lazy

from accounts.models.system import System
from provisioning import seen
from provisioning.changes import NOTE
from provisioning.models.exchange import Exchange
from provisioning.scim.dialects.rules import RULES


@dataclass(frozen=True)
class Tolerated:
    """One departure from plain SCIM: where, what was sent, how it was read, who is known to send it so, and in words."""

    attribute: str
    sent: str
    read_as: str
    rule: str
    clients: str
    sentence: str = ""


# Each rule of `provisioning.scim.dialects` in a sentence for people.
SENTENCES: dict[str, Any] = {
    "op_case": gettext_lazy("The operation was written in capitals; it means the same."),
    "schemas_missing": gettext_lazy("The request did not name its own schema; the address says which one it is."),
    "schemas_text": gettext_lazy("The schema stood alone where a list belongs."),
    "schemas_in_value": gettext_lazy("A list of schemas inside of the data says nothing, and was ignored."),
    "unknown_schema": gettext_lazy("It named a schema that this server has not, and what belongs to it was ignored."),
    "read_only_in_value": gettext_lazy("It sent back what only this server writes; that was ignored."),
    "password_dropped": gettext_lazy("It sent a password. None is kept here, not in this record either."),
    "no_path": gettext_lazy("Where to write stood as a name among the values; it was read as the path."),
    "dotted_name": gettext_lazy("A path stood as the name of an attribute; the attribute that it leads to was meant."),
    "core_urn_object": gettext_lazy(
        "The attributes stood under the name of their own schema; they were read as usual."
    ),
    "dot_after_urn": gettext_lazy("A dot stood after the name of a schema where a colon belongs."),
    "unprefixed": gettext_lazy("An attribute of an extension was named without its schema; only one has that name."),
    "boolean_text": gettext_lazy("Yes or no came as a word in quotation marks."),
    "boolean_in_filter": gettext_lazy("Yes or no was compared as a word in quotation marks."),
    "object_for_list": gettext_lazy("One value came where a list belongs; it was read as a list of one."),
    "list_for_object": gettext_lazy("A list came where one value belongs; the only one in it was taken, or none."),
    "value_object": gettext_lazy("A plain value came wrapped in an object; it was taken out."),
    "bare_value": gettext_lazy("A plain value came where an object belongs; it was read as its value."),
    "bare_reference": gettext_lazy("Only the id came of what is referred to; that is enough."),
    "empty_reference": gettext_lazy("An empty reference came; it was read as nobody."),
    "json_text": gettext_lazy("Data came as a text that holds JSON; what it holds was read."),
    "blank_text": gettext_lazy("An empty or blank text came; it was read as no value."),
    "label_in_member": gettext_lazy("A name stood beside the id of a member; the id alone counts."),
    "ref_for_value": gettext_lazy("A member was given by its address; the id at its end was taken."),
    "other_schema": gettext_lazy("It named another schema for the same thing; its words were put into ours."),
    "other_name": gettext_lazy("An attribute came under its name in another schema; ours has the same."),
    "unknown_member": gettext_lazy(
        "It added a member under an id that this server never gave; that one was left out, and somebody should look."
    ),
    "null_members": gettext_lazy(
        "The list of members was null; too little to empty a group on, so nothing was changed."
    ),
    "remove_by_value": gettext_lazy("A removal listed what to remove as its value; only that was removed."),
    "create_from_filter": gettext_lazy("The value to change was not there; it was made as the filter describes it."),
}


def tolerated(kept: Iterable[Mapping[str, str]]) -> tuple[Tolerated, ...]:
    """The coercions of an exchange, as it keeps them."""
    return tuple(
        Tolerated(
            attribute=one.get("attribute", ""),
            sent=one.get("sent", ""),
            read_as=one.get("read_as", ""),
            rule=one.get("rule", ""),
            clients=RULES[one["rule"]].clients if one.get("rule") in RULES else "",
            sentence=str(SENTENCES.get(one.get("rule", ""), "")),
        )
        for one in kept
        if one.get("rule") != NOTE
    )


def noted(kept: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """What intake said about it: linked to whom, and by what; whose offer could not be made."""
    return tuple(one.get("read_as", "") for one in kept if one.get("rule") == NOTE)


class _IsCoerced(Func):
    """Whether the list holds anything that is not a note."""

    template = f"""jsonb_path_exists(%(expressions)s, '$[*] ? (@.rule != "{NOTE}")')"""
    output_field: Any = BooleanField()


def coerced(rows: QuerySet[Exchange]) -> QuerySet[Exchange]:
    """Those in which something was tolerated."""
    return rows.alias(is_coerced=_IsCoerced(F("coercions"))).filter(is_coerced=True)


@dataclass(frozen=True)
class RuleSeen:
    """One rule that a client needs: what it sends, how that is read, who else does, how often and when last."""

    rule: str
    sent: str
    read_as: str
    clients: str
    count: int
    last_at: datetime


def rules_seen(system: System) -> list[RuleSeen]:
    """The rules among its last exchanges, most used first; one that is no more keeps its name. One query."""
    found = []
    for one in seen.coercions_seen(system, None):
        known = RULES.get(one.rule)
        sent, read_as, clients = (known.sent, known.read_as, known.clients) if known else (one.rule, "", "")
        found.append(RuleSeen(one.rule, sent, read_as, clients, one.count, one.last_at))
    return found
