"""The people who sign in: the only writer of User, Role, Invitation and Identity.

A person gets in by a one-use link alone; only its digest is kept. What they may do is said by roles, asked for by one
person and granted by another; the database compares the two.
"""

import hashlib
import secrets
import unicodedata
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from accounts.models.account import Account
from accounts.models.identity import Identity
from accounts.models.tenant import Tenant
from accounts.models.user import Invitation, Role, RoleName, User
from audit.cause import current
from audit.journal import Subject, record
from audit.models import CauseKind

# So named that `audit.redaction` knows it wherever it turns up, in a log line too.
TOKEN_PREFIX = "rc_link_"  # noqa: S105 - what every link begins with, no secret
NAME_LENGTH = 150  # as the column's
INVITED_FOR = timedelta(days=7)
RESET_FOR = timedelta(hours=1)
# What the command line may make before two people can watch each other.
ADMINISTRATORS_BY_SETUP = 2
# Faces that a network reaches: none of them may give a role without a second person.
_REACHABLE = frozenset({CauseKind.PAGE, CauseKind.API, CauseKind.EXCHANGE, CauseKind.SIGN_IN})


class Event(StrEnum):
    """What the journal says of people who sign in."""

    USER_MADE = "user.made"
    USER_INVITED = "user.invited"
    PASSWORD_SET = "user.password_set"  # noqa: S105 - the name of an event
    SESSIONS_ENDED = "user.sessions_ended"
    SIGN_IN_ENDED = "user.sign_in_ended"
    SIGN_IN_REOPENED = "user.sign_in_reopened"
    ROLE_GRANTED = "role.granted"
    ROLE_ENDED = "role.ended"


class BadPerson(ValueError):
    """Nobody can sign in under that name; the message says what to choose instead."""


class BadLink(ValueError):
    """The one-use link opens nothing; the message says why and how to get another."""


class CantGrant(ValueError):
    """The role can't be granted so; the message says what is missing."""


def _subject(user: User) -> Subject:
    return Subject(kind="user", id=str(user.pk), label=str(user))


def _name(username: str) -> str:
    name = unicodedata.normalize("NFC", username).strip()
    if not name or len(name) > NAME_LENGTH:
        raise BadPerson(_("a name to sign in with has 1 to 150 characters"))
    if any(unicodedata.category(c)[0] in "CZ" and c != " " for c in name):
        raise BadPerson(_("a name to sign in with has no control or invisible characters"))
    return name


def digest(token: str) -> str:
    """What is kept of a one-use link: its SHA-256. The token has 256 random bits, so it needs no key and no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def identity_for(*, at: datetime, account: Account | None = None) -> Identity:
    """The identity behind an account, or a new one. Who calls it writes it to the account, by that noun's own door."""
    if account is not None and account.identity is not None:
        return account.identity
    return Identity.objects.create(made_at=at)


def make_user(
    *, username: str, at: datetime, display_name: str = "", email: str = "", identity: Identity | None = None
) -> User:
    """Somebody who can be invited. They have no password and no role yet. Raises `BadPerson` for a name in use."""
    name = _name(username)
    with transaction.atomic():
        user = User(
            username=name,
            username_key=name.casefold(),
            display_name=display_name.strip(),
            email=email.strip(),
            identity=identity or identity_for(at=at),
            made_at=at,
        )
        user.set_unusable_password()
        try:
            with transaction.atomic():
                user.save(force_insert=True)
        except IntegrityError as error:
            raise BadPerson(_("somebody signs in as “%(name)s” already: choose another") % {"name": name}) from error
        record(event=Event.USER_MADE, sentence=f"{current().actor}: {user} can be invited.", subjects=[_subject(user)])
    return user


def invite(*, user: User, at: datetime, lasts: timedelta = INVITED_FOR) -> str:
    """A one-use token with which the user sets a password. It is returned once, and only its digest is kept.

    Raises `BadPerson` when the user may not sign in any more.
    """
    if not user.is_active:
        raise BadPerson(_("%(user)s may not sign in: reopen that first") % {"user": user})
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        Invitation.objects.create(user=user, token_hash=digest(token), made_at=at, until=at + lasts)
        record(
            event=Event.USER_INVITED,
            sentence=f"{current().actor}: {user} got a one-use link, good until {at + lasts:%Y-%m-%d %H:%M} UTC.",
            subjects=[_subject(user)],
        )
    return token


def open_invitation(*, token: str, at: datetime) -> Invitation:
    """The invitation that a token opens now. Raises `BadLink` if there is none, or it was used or is over."""
    invitation = Invitation.objects.select_related("user").filter(token_hash=digest(token)).first()
    if invitation is None:
        raise BadLink(_("This link is not one of ours, or was cut short. Copy it whole, or ask for another."))
    if invitation.used_at is not None:
        raise BadLink(_("This link was used, or the password was set since. Sign in, or ask for another link."))
    if invitation.until <= at:
        raise BadLink(
            _("This link ended on %(until)s UTC. Ask for another.") % {"until": f"{invitation.until:%Y-%m-%d %H:%M}"}
        )
    if not invitation.user.is_active:
        raise BadLink(_("Whom this link invited may not sign in any more. Ask an administrator."))
    return invitation


def accept_invitation(*, token: str, password: str, at: datetime) -> User:
    """Set the password of whom the token invites, and use up every open link of theirs. Their sessions end.

    The password was judged by the form. Raises `BadLink`; of two who come at once, one.
    """
    with transaction.atomic():
        invitation = open_invitation(token=token, at=at)
        user = User.objects.select_for_update().get(pk=invitation.user_id)
        # Under the lock once more: another request may have used it while this one waited.
        open_invitation(token=token, at=at)
        Invitation.objects.filter(user=user, used_at__isnull=True).update(used_at=at)
        _set_password(user, password)
    return user


def change_password(*, user: User, password: str) -> User:
    """A new password for somebody who knows the old one. Every session but the asking one ends."""
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        _set_password(locked, password)
    return locked


def _set_password(user: User, password: str) -> None:
    user.set_password(password)
    user.session_epoch += 1
    user.save(update_fields=["password", "session_epoch"])
    record(event=Event.PASSWORD_SET, sentence=f"{user} set a password.", subjects=[_subject(user)])


def _may_grant(*, asked_by: UUID | None, granted_by: UUID | None, by_setup: bool) -> None:
    if by_setup:
        if current().kind in _REACHABLE:
            raise CantGrant(_("only the command line grants a role without a second person"))
        return
    if asked_by is None or granted_by is None or asked_by == granted_by:
        raise CantGrant(_("a role is asked for by one person and granted by another"))


def grant_role(
    *,
    user: User,
    name: RoleName,
    tenant: Tenant | None,
    at: datetime,
    asked_by: UUID | None = None,
    granted_by: UUID | None = None,
    by_setup: bool = False,
) -> Role:
    """A role in a tenant (none: an administrator of all), between two different identities, or by set-up.

    A role that they have already is returned as it is. Raises `CantGrant`.
    """
    if tenant is None and name != RoleName.ADMINISTRATOR:
        raise CantGrant(_("only an administrator can be one without a tenant"))
    _may_grant(asked_by=asked_by, granted_by=granted_by, by_setup=by_setup)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        held = Role.objects.filter(Q(until__isnull=True) | Q(until__gt=at), user=user, name=name, tenant=tenant).first()
        if held is not None:
            return held
        role = Role.objects.create(
            user=user,
            tenant=tenant,
            name=name,
            since=at,
            asked_by_id=asked_by,
            granted_by_id=granted_by,
            made_by_setup=by_setup,
        )
        record(event=Event.ROLE_GRANTED, sentence=f"{current().actor}: {user} is {role}.", subjects=[_subject(user)])
    return role


def end_role(*, role: Role, reason: str, at: datetime) -> Role:
    """End a role from now on. One that has ended stays as it is."""
    with transaction.atomic():
        locked = Role.objects.select_for_update(of=("self",)).select_related("user", "tenant").get(pk=role.pk)
        if locked.until is not None and locked.until <= at:
            return locked
        locked.until = at
        locked.save(update_fields=["until"])
        record(
            event=Event.ROLE_ENDED,
            sentence=f"{current().actor}: {locked.user} is no longer {locked}. {reason}".strip(),
            subjects=[_subject(locked.user)],
        )
    return locked


def end_sessions(*, identity: UUID, sign_in_too: bool, reason: str, at: datetime) -> list[User]:
    """End every session of a person, as when their account ends. Returns whom it concerned.

    With `sign_in_too` they can't begin another, and their open links end, until `reopen_user`.
    """
    with transaction.atomic():
        users = list(User.objects.select_for_update().filter(identity=identity, is_active=True))
        ids = [u.pk for u in users]
        if not users:
            return []
        User.objects.filter(pk__in=ids).update(session_epoch=F("session_epoch") + 1)
        if sign_in_too:
            User.objects.filter(pk__in=ids).update(is_active=False)
            Invitation.objects.filter(user__in=ids, used_at__isnull=True).update(used_at=at)
        names = ", ".join(str(u) for u in users)
        record(
            event=Event.SIGN_IN_ENDED if sign_in_too else Event.SESSIONS_ENDED,
            sentence=f"{current().actor}: the sessions of {names} ended"
            + (", and they can't sign in. " if sign_in_too else ". ")
            + reason,
            subjects=[_subject(u) for u in users],
        )
    return users


def deactivate_user(*, user: User, reason: str, at: datetime) -> None:
    """Somebody may not sign in any more: their sessions and open links end. Their roles stay, and give nothing."""
    end_sessions(identity=user.identity_id, sign_in_too=True, reason=reason, at=at)


def reopen_user(*, user: User, reason: str, at: datetime) -> User:
    """Somebody who was deactivated may sign in again, with the password they had; a new link if they had none.

    They may do nothing then: a role comes back by two people. Raises `BadPerson` while they have one still.
    """
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        if locked.is_active:
            return locked
        live = Role.objects.filter(Q(until__isnull=True) | Q(until__gt=at), user=locked)
        if live.exists():
            raise BadPerson(
                _("%(user)s has roles still: end them first, each comes back by two people") % {"user": locked}
            )
        locked.is_active = True
        locked.save(update_fields=["is_active"])
        record(
            event=Event.SIGN_IN_REOPENED,
            sentence=f"{current().actor}: {locked} can sign in again. {reason}".strip(),
            subjects=[_subject(locked)],
        )
    return locked


def living_administrators(*, at: datetime) -> list[User]:
    """Who administers all tenants now and may sign in, by name."""
    alive = Q(roles__until__isnull=True) | Q(roles__until__gt=at)
    return list(
        User.objects.filter(alive, is_active=True, roles__name=RoleName.ADMINISTRATOR, roles__tenant__isnull=True)
        .distinct()
        .order_by("username_key")
    )


def by_name_or_mail(text: str) -> list[User]:
    """Active users whom somebody may mean who forgot a password: by sign-in name, else by mail address."""
    typed = text.strip()
    if not typed or "\x00" in typed:
        return []
    named = User.objects.filter(username_key=typed.casefold(), is_active=True)
    return list(named or User.objects.filter(email__iexact=typed, is_active=True).order_by("username_key")[:5])
