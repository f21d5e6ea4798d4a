"""The API: read-only, in the tenant of the address, for whoever may read its roll with the session of a person."""

from typing import TypeVar, cast
from uuid import UUID

from django.db.models import Model, Prefetch, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.finding import Attribution, Finding, FindingKind, FindingState
from accounts.models.group import Membership
from accounts.models.ownership import Ownership, OwnershipState
from accounts.rules import Word
from governance.api.paging import ByKey
from governance.api.serializers import AccountOut, AccountWhole, FindingOut, RunOut
from governance.pages import PageRequest, may
from provisioning.models.run import Run, RunState
from provisioning.models.shadow import Shadow
from provisioning.models.snapshot import Snapshot

M = TypeVar("M", bound=Model)

_PAGING = ("cursor", "page_size")
_OWNERS = Prefetch(
    "ownerships",
    Ownership.objects.filter(state__in=[OwnershipState.OFFERED, OwnershipState.ACCEPTED])
    .select_related("owner")
    .order_by("id"),
    to_attr="live_ownerships",
)


class ReadsTheRoll(BasePermission):
    """Whoever may read the roll of this tenant. Anybody else gets 403 with the rule."""

    message: str = ""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - the framework's signature
        """Whether the reader may."""
        # The middleware has found tenant, roles and clock before any view runs.
        ruling = may(cast("PageRequest", request._request), Word.ROLL_READ)  # noqa: SLF001 - the only way to it
        self.message = ruling.reason
        return ruling.allowed


def _an_id(name: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise ValidationError({name: [_("%(value)s is not an id") % {"value": value}]}) from error


def _narrowed(
    rows: QuerySet[M], request: Request, *, words: dict[str, list[str]], ids: tuple[str, ...] = ()
) -> QuerySet[M]:
    """The rows that the query string asks for. Raises `ValidationError` (400) for a name or value that is not known.

    A misspelt filter that is passed over would answer with everything, and be taken for the answer.
    """
    for name in request.query_params:
        value = request.query_params[name]
        if name in words:
            if value not in words[name]:
                allowed = ", ".join(words[name])
                raise ValidationError({name: [_("must be one of: %(allowed)s") % {"allowed": allowed}]})
            rows = rows.filter(**{name: value})
        elif name in ids:
            rows = rows.filter(**{name: _an_id(name, value)})
        elif name not in _PAGING:
            known = ", ".join([*words, *ids, *_PAGING])
            raise ValidationError({name: [_("there is no such filter; there are: %(known)s") % {"known": known}]})
    return rows


class Accounts(ListAPIView[Account]):
    """Accounts, newest first; `?kind=`, `?state=`."""

    permission_classes = (ReadsTheRoll,)
    pagination_class = ByKey
    serializer_class = AccountOut

    def get_queryset(self) -> QuerySet[Account]:
        """The accounts of the tenant, each with its owners."""
        words = {"kind": AccountKind.values, "state": AccountState.values}
        return _narrowed(Account.objects.prefetch_related(_OWNERS), self.request, words=words)


class OneAccount(RetrieveAPIView[Account]):
    """One account, with what it reaches and who knows it."""

    permission_classes = (ReadsTheRoll,)
    serializer_class = AccountWhole

    def get_queryset(self) -> QuerySet[Account]:
        """The accounts of the tenant, whole."""
        shadows = Shadow.objects.select_related("system").order_by("id")
        memberships = Membership.objects.filter(ended_at__isnull=True).select_related("group", "system").order_by("id")
        return Account.objects.prefetch_related(
            _OWNERS,
            Prefetch("shadows", shadows, to_attr="all_shadows"),
            Prefetch("memberships", memberships, to_attr="live_memberships"),
        )


class Findings(ListAPIView[Finding]):
    """Findings, newest first, also those that are resolved; `?state=`, `?kind=`, `?attribution=`, `?account=`, `?system=`."""

    permission_classes = (ReadsTheRoll,)
    pagination_class = ByKey
    serializer_class = FindingOut

    def get_queryset(self) -> QuerySet[Finding]:
        """The findings of the tenant."""
        words = {
            "kind": FindingKind.values,
            "state": FindingState.values,
            "attribution": [word for word in Attribution.values if word],
        }
        rows = Finding.objects.select_related("account", "system")
        return _narrowed(rows, self.request, words=words, ids=("account", "system"))


class Runs(ListAPIView[Run]):
    """Reconciliation runs with their proofs, newest first; `?state=`, `?system=`."""

    permission_classes = (ReadsTheRoll,)
    pagination_class = ByKey
    serializer_class = RunOut

    def get_queryset(self) -> QuerySet[Run]:
        """The runs of the tenant."""
        readings = Prefetch("snapshots", Snapshot.objects.prefetch_related("proofs").order_by("id"))
        rows = Run.objects.select_related("system").prefetch_related(readings)
        return _narrowed(rows, self.request, words={"state": RunState.values}, ids=("system",))
