"""What was tolerated in a request, and what intake noted of it: two things that the ledger keeps in one column."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, F, Func, QuerySet

from accounts.models.system import System
from provisioning import seen
from provisioning.changes import NOTE
from provisioning.models.exchange import Exchange
from provisioning.scim.dialects import RULES


@dataclass(frozen=True)
class Tolerated:
    """One departure from plain SCIM: where, what was sent, how it was read, and who is known to send it so."""

    attribute: str
    sent: str
    read_as: str
    rule: str
    clients: str


def tolerated(kept: Iterable[Mapping[str, str]]) -> tuple[Tolerated, ...]:
    """The coercions of an exchange, as it keeps them."""
    return tuple(
        Tolerated(
            attribute=one.get("attribute", ""),
            sent=one.get("sent", ""),
            read_as=one.get("read_as", ""),
            rule=one.get("rule", ""),
            clients=RULES[one["rule"]].clients if one.get("rule") in RULES else "",
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
    for rule, count, last_at in seen.coercions_seen(system):
        known = RULES.get(rule)
        sent, read_as, clients = (known.sent, known.read_as, known.clients) if known else (rule, "", "")
        found.append(RuleSeen(rule, sent, read_as, clients, count, last_at))
    return found
