"""People who sign in here: who they are, what they may do and until when, and the verbs. A role needs two people."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import CharField, Q, QuerySet
from django.db.models.functions import Cast
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import lifecycle
from accounts import people as door
from accounts.models.account import Account
from accounts.models.user import Invitation, Role, RoleName, User
from accounts.rules import Refused, Ruling, Word
from audit.journal import timeline
from audit.models import JournalSubject
from governance.admin.once import answer, once
from governance.admin.people_forms import InviteForm, RoleForm
from governance.approvals import BadAnswer, CantAsk, ask_role
from governance.models.approval import Approval, ApprovalKind, ApprovalState
from governance.pages import Ask, PageRequest, ask, may, page, root_url, window


def names_of(identities: Collection[UUID]) -> dict[UUID, str]:
    """The name of each person behind an identity: as they sign in, else of an account here. Two queries."""
    found = {identity: _("somebody without a name here") for identity in identities}
    own = Account.objects.filter(identity__in=found).order_by("-state_since").values_list("identity", "user_name")
    found |= dict(own)
    found |= {user.identity_id: str(user) for user in User.objects.filter(identity__in=found).order_by("-made_at")}
    return found


def known_here(request: PageRequest) -> QuerySet[User]:
    """Whom this tenant knows: with a role in it or in all, with an account in it, or spoken of in its journal."""
    held = Role.objects.filter(Q(tenant=request.tenant) | Q(tenant__isnull=True)).values("user")
    accounts = Account.objects.filter(identity__isnull=False).values("identity")
    spoken = JournalSubject.objects.filter(tenant_id=request.tenant.pk, kind="user").values("subject_id")
    return User.objects.annotate(key=Cast("pk", CharField())).filter(
        Q(pk__in=held) | Q(identity__in=accounts) | Q(key__in=spoken)
    )


def _administers_all(request: PageRequest) -> bool:
    """Whether the reader administers all tenants, and so may see and change what is not of this one."""
    return any(user.pk == request.user.pk for user in door.living_administrators(at=request.at))


def _person(request: PageRequest, pk: UUID) -> User:
    found = known_here(request).filter(pk=pk).first()
    if found is None and _administers_all(request):
        found = User.objects.filter(pk=pk).first()
    return found if found is not None else get_object_or_404(User.objects.none(), pk=pk)


def _is_live(role: Role, *, at: datetime) -> bool:
    return role.until is None or role.until > at


def _signs_in(user: User) -> tuple[str, str]:
    """Shape and words for whether somebody can sign in."""
    if not user.is_active:
        return "-", _("can't sign in any more")
    return ("=", _("can sign in")) if user.has_usable_password() else ("~", _("has not set a password yet"))


@page(Word.ROLL_READ)
def people(request: PageRequest) -> HttpResponse:
    """Whom this tenant knows, by name; by the beginning of a name, or by role."""
    rows = known_here(request)
    if text := request.GET.get("q", "").strip().casefold()[:150].replace("\x00", ""):
        rows = rows.filter(username_key__gte=text, username_key__lt=text + "\U0010ffff")
    here = Q(tenant=request.tenant) | Q(tenant__isnull=True)
    live = Role.objects.filter(here, Q(until__isnull=True) | Q(until__gt=request.at))
    if (name := request.GET.get("role", "")) in RoleName.values:
        rows = rows.filter(pk__in=live.filter(name=name).values("user"))
    found = window(request, rows.order_by("username_key"))
    roles: dict[UUID, list[Role]] = {}
    for role in live.filter(user__in=[user.pk for user in found.rows]).order_by("name", "since"):
        roles.setdefault(role.user_id, []).append(role)
    accounts: dict[UUID | None, list[Account]] = {}
    own = Account.objects.filter(identity__in=[user.identity_id for user in found.rows])
    for account in own.only("identity", "user_name", "state").order_by("user_name_key")[:500]:
        accounts.setdefault(account.identity_id, []).append(account)
    return render(
        request,
        "pages/people.html",
        {
            "window": found,
            "rows": [
                (user, _signs_in(user), roles.get(user.pk, []), accounts.get(user.identity_id, []))
                for user in found.rows
            ],
            "names": RoleName.choices,
            "chosen": {"q": request.GET.get("q", ""), "role": name},
            "is_filtered": bool(text or name),
            "asked": Approval.objects.filter(kind=ApprovalKind.ROLE, state=ApprovalState.OPEN).count(),
        },
    )


def _may_end_sign_in(request: PageRequest, user: User) -> Ruling:
    """Sign-in is of all tenants: who serves another too loses it by an administrator of all tenants."""
    if not user.is_active:
        return Ruling(allowed=False, reason=_("it has ended already"))
    if user.identity_id == request.user.identity_id:
        return Ruling(allowed=False, reason=_("it is yours; another administrator ends it"))
    elsewhere = Role.objects.filter(
        ~Q(tenant=request.tenant) | Q(tenant__isnull=True),
        Q(until__isnull=True) | Q(until__gt=request.at),
        user__identity=user.identity_id,
    )
    if elsewhere.exists() and not _administers_all(request):
        why = _(
            "they serve more than this tenant; an administrator of all tenants ends it. End their roles here instead"
        )
        return Ruling(allowed=False, reason=why)
    return Ruling(allowed=True, reason=_("a role allows it"))


def _may_end_role(request: PageRequest, role: Role) -> Ruling:
    if not _is_live(role, at=request.at):
        return Ruling(allowed=False, reason=_("it has ended already"))
    if role.tenant_id is None and not _administers_all(request):
        return Ruling(allowed=False, reason=_("it is for all tenants; an administrator of all tenants ends it"))
    return Ruling(allowed=True, reason=_("a role allows it"))


def _may_reopen(request: PageRequest, user: User) -> Ruling:
    """A sign-in opens without any role: what it may do then, two people say."""
    ruling = may(request, Word.ROLE_ASK)
    if ruling and user.is_active:
        return Ruling(allowed=False, reason=_("it is open"))
    if ruling and user.identity_id == request.user.identity_id:
        return Ruling(allowed=False, reason=_("it is yours; another administrator reopens it"))
    return ruling


def _role_rows(request: PageRequest, user: User) -> list[dict[str, Any]]:
    """Roles here or in all tenants, the living first, with who asked and who granted."""
    rows = list(
        Role.objects.filter(Q(tenant=request.tenant) | Q(tenant__isnull=True), user=user)
        .select_related("tenant")
        .order_by("-since")[:50]
    )
    names = names_of({i for row in rows for i in (row.asked_by_id, row.granted_by_id) if i is not None})
    is_for_all = any(row.tenant_id is None for row in rows) and _administers_all(request)
    found = [
        {
            "role": row,
            "is_live": _is_live(row, at=request.at),
            "asked_by": names[row.asked_by_id] if row.asked_by_id is not None else _("set-up"),
            "granted_by": names[row.granted_by_id] if row.granted_by_id is not None else _("set-up"),
            "off": ""
            if row.tenant_id is not None or is_for_all
            else _("it is for all tenants; an administrator of all tenants ends it"),
        }
        for row in rows
    ]
    return sorted(found, key=lambda row: not row["is_live"])


@page(Word.ROLL_READ)
def person(request: PageRequest, pk: UUID) -> HttpResponse:
    """One person: what they may do, by whom, until when; their accounts; whether they can sign in."""
    found = _person(request, pk)
    open_link = Invitation.objects.filter(user=found, used_at__isnull=True, until__gt=request.at)
    return render(
        request,
        "pages/person.html",
        {
            "person": found,
            "signs_in": _signs_in(found),
            "role_rows": _role_rows(request, found),
            "accounts": Account.objects.filter(identity=found.identity_id).order_by("user_name_key")[:50],
            "asked": Approval.objects.filter(kind=ApprovalKind.ROLE, user=found).order_by("-asked_at")[:10],
            "link": open_link.order_by("-until").first(),
            "may_reopen": _may_reopen(request, found),
            "may_end": _may_end_sign_in(request, found),
            "off": "" if found.is_active else _("they can't sign in any more"),
            "entries": timeline(kind="user", subject_id=str(found.pk))[:50],
        },
    )


def _made(cleaned: dict[str, Any], *, at: datetime) -> User:
    """Somebody new, with the identity of their account."""
    account: Account | None = cleaned["account"]
    identity = door.identity_for(at=at, account=account)
    if account is not None and account.identity_id is None:
        lifecycle.change(account=account, fields={"identity_id": identity.pk})
    return door.make_user(
        username=cleaned["username"], display_name=cleaned["display_name"], email=cleaned["email"], identity=identity,
        at=at,
    )  # fmt: skip


@page(Word.ROLE_ASK)
def invite(request: PageRequest) -> HttpResponse:
    """Invite somebody by a one-use link, shown once. Who has not set a password yet gets another link."""

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        key = cleaned["username"].strip().casefold()
        known = known_here(request).filter(username_key=key).first()
        elsewhere = User.objects.filter(username_key=key).first() if known is None else None
        if elsewhere is not None and _administers_all(request):
            messages.success(request, _("%(user)s signs in already: ask for a role here.") % {"user": elsewhere})
            return HttpResponseRedirect(reverse("person", args=[elsewhere.pk]))
        if known is not None and known.has_usable_password():
            # A link for somebody who signs in already would let whoever reads it take their place.
            raise door.BadPerson(
                _("%(user)s signs in already. A forgotten password: they ask for a link on the sign-in page.")
                % {"user": known}
            )
        user = known or _made(cleaned, at=request.at)
        token = door.invite(user=user, at=request.at)
        context = {
            "person": user,
            "link": settings.ROLLCALL_PUBLIC_URL + root_url("welcome", token=token),
            "until": request.at + door.INVITED_FOR,
            "is_known": known is not None,
        }
        return once(request, "pages/person_link.html", context)

    asked = Ask(
        title=_("Invite somebody to sign in?"),
        button=_("Invite 1 person"),
        keep=reverse("people"),
        consequences=[
            _("You get a link that works once, for 7 days. Whoever opens it first sets the password."),
            _("They may do nothing yet: ask for a role next, and another person grants it."),
        ],
    )
    refusals = (Refused, door.BadPerson, lifecycle.CantChange)
    return answer(request, asked, do=do, form_class=InviteForm, refusals=refusals)


@page(Word.ROLE_ASK)
def role(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask for a role for somebody. Another person grants it."""
    found = _person(request, pk)

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        made = ask_role(
            user=found, name=RoleName(cleaned["role"]), tenant=request.tenant, asked_by=request.user,
            reason=cleaned["reason"], at=request.at,
        )  # fmt: skip
        messages.success(request, _("Asked. It counts when another person says yes; silence means no."))
        return HttpResponseRedirect(reverse("approval", args=[made.pk]))

    asked = Ask(
        title=_("Ask for a role for %(user)s?") % {"user": found},
        button=_("Ask for 1 role"),
        keep=reverse("person", args=[pk]),
        consequences=[
            _("Security or an administrator answers within 7 days, neither you nor %(user)s.") % {"user": found},
            _("Until then they may do no more than now."),
        ],
    )
    return answer(request, asked, do=do, form_class=RoleForm, refusals=(Refused, BadAnswer, CantAsk))


@page(Word.ROLE_ASK)
def role_end(request: PageRequest, pk: UUID, role: UUID) -> HttpResponse:
    """End a role of somebody, here or in all tenants."""
    here = Q(tenant=request.tenant) | Q(tenant__isnull=True)
    found = get_object_or_404(Role.objects.select_related("user", "tenant"), here, pk=role, user=pk)
    live = Q(until__isnull=True) | Q(until__gt=request.at)
    others = Role.objects.filter(live, tenant=found.tenant, name=found.name, user__is_active=True)
    count = others.exclude(user=found.user_id).values("user").distinct().count()

    def do(cleaned: dict[str, Any]) -> str:
        door.end_role(role=found, reason=cleaned["reason"], at=request.at)
        return _("%(user)s is no longer %(role)s.") % {"user": found.user, "role": found}

    last = ngettext("%(n)d other person is %(role)s still.", "%(n)d other people are %(role)s still.", count) % {
        "n": count,
        "role": found,
    }
    if not count:
        last = _("Nobody else is %(role)s: what only they may do waits until somebody is.") % {"role": found}
    asked = Ask(
        title=_("End the role %(role)s of %(user)s?") % {"role": found, "user": found.user},
        button=_("End 1 role"),
        keep=reverse("person", args=[pk]),
        consequences=[
            _("They may not do what it allows from their next click; they can sign in still."),
            last,
            _("It comes back only when one person asks for it and another grants it."),
        ],
        is_danger=True,
        ruling=_may_end_role(request, found),
    )
    return ask(request, asked, do=do)


@page(Word.ROLE_ASK)
def deactivate(request: PageRequest, pk: UUID) -> HttpResponse:
    """End the sign-in of somebody, under every name of theirs."""
    found = _person(request, pk)
    names = User.objects.filter(identity=found.identity_id, is_active=True).values_list("username", flat=True)

    def do(cleaned: dict[str, Any]) -> str:
        door.deactivate_user(user=found, reason=cleaned["reason"], at=request.at)
        return _("%(user)s can't sign in any more.") % {"user": found}

    asked = Ask(
        title=_("End the sign-in of %(user)s?") % {"user": found},
        button=_("End 1 sign-in"),
        keep=reverse("person", args=[pk]),
        facts=[(_("Signs in as"), ", ".join(sorted(names)))],
        consequences=[
            _("Their sessions and open links end at once; what they typed and did not send is lost."),
            _("Their roles stay and give nothing; their accounts stay as they are: end those on their own pages."),
        ],
        is_danger=True,
        ruling=_may_end_sign_in(request, found),
    )
    return ask(request, asked, do=do)


@page(Word.ROLE_ASK)
def reopen(request: PageRequest, pk: UUID) -> HttpResponse:
    """Let somebody sign in again whose sign-in was ended."""
    found = _person(request, pk)

    def do(cleaned: dict[str, Any]) -> str:
        door.reopen_user(user=found, reason=cleaned["reason"], at=request.at)
        return _("%(user)s can sign in again. Ask for a role next.") % {"user": found}

    asked = Ask(
        title=_("Let %(user)s sign in again?") % {"user": found},
        button=_("Reopen 1 sign-in"),
        keep=reverse("person", args=[pk]),
        facts=[(_("Signs in as"), found.username)],
        consequences=[
            _("They sign in with the password that they had, or by a new link from the sign-in page."),
            _("They may do nothing until one person asks for a role and another grants it."),
            _("Other names of theirs stay closed; their accounts stay as they are."),
        ],
        ruling=_may_reopen(request, found),
    )
    return ask(request, asked, do=do, refusals=(Refused, door.BadPerson))
