"""The demo: `prepare` makes tenants, logins and tokens; `load` lets the story happen over HTTP. Both may be repeated."""

import json
import secrets
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import exceptions, lifecycle, ownership, people, tenants
from accounts.models.account import Account, AccountKind
from accounts.models.exception import ExceptionKind
from accounts.models.ownership import OwnershipState
from accounts.models.system import ReactivationPolicy, System, SystemKind
from accounts.models.tenant import Tenant, TenantKind
from accounts.models.user import RoleName, User
from audit.models import Cause, CauseKind
from audit.scope import scope
from demo import company as story_company
from demo import directory, push, story
from demo.client import Endpoint
from demo.nouns import Company, DirectorySpec
from governance import campaigns, lines, reviews
from governance.models.campaign import Campaign, Review, ReviewState, Silence
from provisioning import connections, cursors, systems, tokens
from provisioning.feeds.following import STREAMS
from provisioning.models.connection import Connection, SystemToken
from provisioning.models.shadow import Shadow

SANDBOX = "sandbox"
TOKEN_LASTS = timedelta(days=365)
# What `prepare` exits with where the database holds tenants, and not those of this demo: `local` goes on without one.
HOLDS_OTHERS = 4
FIRST_READING_SECONDS = 180
FOLLOWED = "workforce"
FEED_BEGINS_AFTER = timedelta(minutes=5)
# Which tenants each login serves, and as what.
ROLES: dict[str, tuple[RoleName, tuple[str, ...]]] = {
    "security": (RoleName.SECURITY, ("halyard", "halyard-labs", SANDBOX)),
    "second security": (RoleName.SECURITY, ("halyard", "halyard-labs", SANDBOX)),
    "owner": (RoleName.OWNER, ("halyard",)),
    "auditor": (RoleName.AUDITOR, ("halyard", "halyard-labs", SANDBOX)),
    "administrator": (RoleName.ADMINISTRATOR, ("halyard", "halyard-labs", SANDBOX)),
}


def _cause(actor: str, reason: str) -> Cause:
    return Cause(kind=CauseKind.SETUP, actor=actor, reason=reason)


def _write_private(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.chmod(0o600)
    beside.write_text(json.dumps(value, indent=2) + "\n")
    beside.replace(path)


class Command(BaseCommand):
    """Tell the story of the fictional company Halyard, on real input."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One word: which half of the demo."""
        parser.add_argument("step", choices=["prepare", "load"])

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the step."""
        if not settings.ROLLCALL_DEMO_DIRECTORY_URL:
            raise CommandError("ROLLCALL_DEMO_DIRECTORY_URL is not set: `make run` starts the demo's directory")
        self.at = datetime.now(UTC)
        self.state: Path = settings.ROLLCALL_STATE_DIR
        self.file = self.state / "demo.json"
        self.data = self.state / "directory"
        self._told = self.state / "demo-loaded.json"
        self.company = self._company()
        if options["step"] == "prepare":
            self._prepare()
        else:
            self._load()

    def _company(self) -> Company:
        """The same company at every start: its expiry dates hang on the day on which it was made."""
        born = self.state / "demo-born.json"
        if not born.exists():
            _write_private(born, {"at": self.at.isoformat()})
        return story_company.build_company(now=datetime.fromisoformat(json.loads(born.read_text())["at"]))

    # -- prepare

    def _prepare(self) -> None:
        base = settings.ROLLCALL_PUBLIC_URL
        if self._is_here():
            facts = json.loads(self.file.read_text())
            facts |= {"address": base, "scim_base_url": f"{base}/scim/v2"}
            _write_private(self.file, facts)
            self._follow_directory()
            return
        if Tenant.objects.exists():
            raise CommandError(
                "this database holds tenants already: no demo is loaded into it", returncode=HOLDS_OTHERS
            )
        if self._told.exists():
            raise CommandError(
                f"{self.file} is about a demo in another database: set ROLLCALL_STATE_DIR to a directory of its own"
            )
        directory_tokens = directory.write_tokens(data=self.data, slugs=[d.slug for d in self.company.directories])
        # One transaction: a crash leaves either the whole demo or none of it.
        with transaction.atomic():
            made = self._make_tenants()
            logins = self._make_logins(made)
            found = [self._make_sandbox(made[SANDBOX])]
            found += [self._make_system(made, spec, directory_tokens[spec.slug]) for spec in self.company.directories]
            _write_private(
                self.file,
                {"address": base, "scim_base_url": f"{base}/scim/v2", "systems": found, "logins": logins},
            )
        self.stdout.write(f"The demo is prepared: {len(found)} systems, {len(logins)} logins.")

    def _is_here(self) -> bool:
        """Whether the demo that the file is about is in this database. A crash may have left the file without it."""
        if not self.file.exists():
            return False
        try:
            systems_there = json.loads(self.file.read_text())["systems"]
            ids = [UUID(str(system["token"]).split("_")[1]) for system in systems_there]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise CommandError(f"{self.file} is not what this command wrote: put it back, or move it away") from error
        # Ended or not: a token is never deleted.
        return SystemToken.objects.filter(pk__in=ids).exists()

    def _make_tenants(self) -> dict[str, Tenant]:
        with scope(cause=_cause("demo", "the tenants of the demo")):
            made = {
                spec.slug: tenants.make(
                    slug=spec.slug, name=spec.title, time_zone=spec.time_zone, kind=TenantKind.DEMO, at=self.at
                )
                for spec in self.company.tenants
            }
            made[SANDBOX] = tenants.make(
                slug=SANDBOX, name="Sandbox", time_zone="UTC", kind=TenantKind.SANDBOX, at=self.at
            )
        return made

    def _make_logins(self, made: dict[str, Tenant]) -> list[dict[str, str]]:
        logins = []
        for login in self.company.logins:
            role, slugs = ROLES[login.role]
            person = self.company.person(login.person)
            password = secrets.token_urlsafe(12)
            with scope(cause=_cause("demo", "the logins of the demo")):
                user = people.make_user(
                    username=login.user_name, display_name=person.name, email=login.user_name, at=self.at
                )
                token = people.invite(user=user, at=self.at)
                people.accept_invitation(token=token, password=password, at=self.at)
                for slug in slugs:
                    people.grant_role(user=user, name=role, tenant=made[slug], at=self.at, by_setup=True)
            logins.append({"role": login.role, "username": login.user_name, "password": password})
        return logins

    def _make_sandbox(self, tenant: Tenant) -> dict[str, str]:
        with scope(tenant=tenant.pk, cause=_cause("demo", "a place for trying clients")):
            system = systems.make_system(
                tenant_id=tenant.pk, name="Sandbox", kind=SystemKind.DIRECTORY,
                policy=ReactivationPolicy.AUTOMATIC, made_by=None, at=self.at,
            )  # fmt: skip
            exceptions.make_for_setup(
                kind=ExceptionKind.REACTIVATION, system=system, until=self.at + TOKEN_LASTS, at=self.at,
                reason="conformance suites delete and re-create at will; nothing real lives here",
            )  # fmt: skip
            return self._token(system, tenant)

    def _make_system(self, made: dict[str, Tenant], spec: DirectorySpec, secret: str) -> dict[str, str]:
        tenant = made[spec.tenant]
        with scope(tenant=tenant.pk, cause=_cause("demo", "the directories of the demo")):
            system = systems.make_system(
                tenant_id=tenant.pk, name=spec.name, kind=SystemKind.DIRECTORY, policy=ReactivationPolicy.APPROVAL,
                made_by=None, at=self.at,
            )  # fmt: skip
            connection = connections.connect(
                system=system, base_url=self._directory_url(spec), secret=secret, canary_user_name=spec.canary,
                cadence_minutes=1, freshness_minutes=15, page_size=min(100, spec.page_limit or 100), at=self.at,
            )  # fmt: skip
            # Nothing is read before the story has been told.
            connections.pause(connection=connection, reason="the demo is being loaded", at=self.at)
            return self._token(system, tenant)

    def _token(self, system: System, tenant: Tenant) -> dict[str, str]:
        _, text = tokens.make_token(
            system=system,
            label="demo",
            may=["read", "write"],
            expires_at=self.at + TOKEN_LASTS,
            made_by=None,
            at=self.at,
        )
        return {"name": system.name, "tenant": tenant.slug, "token": text}

    def _directory_url(self, spec: DirectorySpec) -> str:
        return str(settings.ROLLCALL_DEMO_DIRECTORY_URL).rstrip("/") + spec.base_path

    def _follow_directory(self) -> None:
        """The directory may have moved to another free port since the last start."""
        for spec in self.company.directories:
            tenant = Tenant.objects.get(slug=spec.tenant)
            with scope(tenant=tenant.pk, cause=_cause("demo", "the directory's address at this start")):
                connection = Connection.objects.get(system__name=spec.name)
                if connection.base_url != self._directory_url(spec):
                    connections.change_connection(connection=connection, at=self.at, base_url=self._directory_url(spec))

    # -- load

    def _load(self) -> None:
        if self._told.exists():
            self.stdout.write("The demo's story has been told already.")
            return
        facts = json.loads(self.file.read_text())
        tokens = {s["name"]: s["token"] for s in facts["systems"]}
        directories = push.directory_endpoints(
            company=self.company,
            origin=settings.ROLLCALL_DEMO_DIRECTORY_URL,
            tokens=directory.write_tokens(data=self.data, slugs=[d.slug for d in self.company.directories]),
        )
        targets = {
            d.slug: Endpoint(slug=d.slug, base_url=facts["scim_base_url"], token=tokens[d.name])
            for d in self.company.directories
        }
        told: dict[str, Any] = {"company": self.company, "directories": directories, "progress": self._say}
        push.fill(**told)
        wanted = push.push(**told, targets=targets, data=self.data)
        self._own(wanted)
        self._link_logins()
        # A campaign needs evidence that is fresh: the systems are read once before anything is lost. The old CRM is
        # not: it breaks down before its first reading, and stays grey.
        self._read(("workforce", "cloud", "labs"))
        self._campaign()
        self._pause()
        story.leave(**told, targets=targets, data=self.data)
        story.ask_back(**told, targets=targets, data=self.data)
        story.lose(**told, data=self.data)
        story.begin_outage(data=self.data)
        self._begin_reading([d.slug for d in self.company.directories])
        self._listen(FOLLOWED)
        _write_private(self._told, {"at": datetime.now(UTC).isoformat()})
        self._say("The story is told; the first reconciliations begin within seconds.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _tenant(self, system: str) -> Tenant:
        return Tenant.objects.get(slug=self.company.directory(system).tenant)

    def _account(self, system: str, user_name: str) -> Account | None:
        name = self.company.directory(system).name
        shadow = (
            Shadow.objects.select_related("account")
            .filter(system__name=name, resource_type="User", name_key=user_name.casefold(), ended_at__isnull=True)
            .first()
        )
        return shadow.account if shadow else None

    def _own(self, wanted: tuple[push.WantedOwner, ...]) -> None:
        """Owners of another system are offered by hand; all accept, each as themselves."""
        for one in wanted:
            with scope(tenant=self._tenant(one.system).pk, cause=_cause(one.owner, "answers for it")):
                account, owner = self._account(one.system, one.machine), self._account(one.owner_system, one.owner)
                if account is None or owner is None:
                    raise CommandError(f"{one.machine} or its owner {one.owner} did not arrive")
                offered = ownership.offer(account=account, owner=owner, at=self.at)
                if offered.state == OwnershipState.OFFERED:
                    ownership.accept(ownership=offered, at=self.at, reason="mine")
            self._reviewer(self._tenant(one.system), owner)
        self._say(f"{len(wanted)} machines have an owner who accepted")

    def _link_logins(self) -> None:
        for login in self.company.logins:
            user = User.objects.get(username_key=login.user_name.casefold())
            for spec in self.company.tenants:
                tenant = Tenant.objects.get(slug=spec.slug)
                with scope(tenant=tenant.pk, cause=_cause("demo", "who signs in is somebody in the roll")):
                    for account in Account.objects.filter(user_name_key=login.user_name.casefold()):
                        lifecycle.change(account=account, fields={"identity_id": user.identity_id})

    def _campaign(self) -> None:
        """A recertification, half done: some certified, one ended, the rest waits."""
        tenant = Tenant.objects.get(slug="halyard")
        security = User.objects.get(username_key=self.company.logins[0].user_name.casefold())
        now = datetime.now(UTC)
        with scope(tenant=tenant.pk, cause=_cause(security.username, "the quarter's recertification")):
            if Campaign.objects.exists():
                return
            campaign = campaigns.draft(
                tenant=tenant, user=security, name="Q4 service accounts", query=lines.Query(kinds=(AccountKind.SERVICE,)),
                deadline=now + timedelta(days=9), silence=Silence.SUSPEND, at=now,
            )  # fmt: skip
            campaigns.launch(campaign=campaign, user=security, at=now)
        self._answer_half(tenant)

    def _answer_half(self, tenant: Tenant) -> None:
        with scope(tenant=tenant.pk):
            lines = list(Review.objects.filter(state=ReviewState.WAITING).select_related("reviewer", "account"))
            # What is lost or asked back must stay as it is, so that the readings find exactly that.
            lost = {user_name for _system, user_name in story.planned_losses(self.company)}
            keep = lost | set(self.company.asked_back) | self.company.protected
            half = [line for line in lines if line.account.user_name not in keep][: len(lines) // 2]
        for number, line in enumerate(half):
            user = self._reviewer(tenant, line.reviewer)
            with scope(tenant=tenant.pk, cause=_cause(user.username, "recertification")):
                if number:
                    reviews.certify(review=line, user=user, reason="in daily use", at=self.at)
                else:
                    reviews.revoke(review=line, user=user, reason="its project has ended", at=self.at)

    def _reviewer(self, tenant: Tenant, owner: Account) -> User:
        """The owner as somebody who can be invited to sign in, with the role for it."""
        user = User.objects.filter(username_key=owner.user_name_key).first()
        with scope(tenant=tenant.pk, cause=_cause("demo", "owners answer on pages of their own")):
            if user is None:
                user = people.make_user(
                    username=owner.user_name, display_name=owner.display_name, email=owner.email, at=self.at
                )
                lifecycle.change(account=owner, fields={"identity_id": user.identity_id})
            people.grant_role(user=user, name=RoleName.OWNER, tenant=tenant, at=self.at, by_setup=True)
        return user

    def _connection(self, spec: DirectorySpec) -> Connection:
        return Connection.objects.select_related("system").get(system__name=spec.name)

    def _begin_reading(self, slugs: Sequence[str]) -> None:
        for slug in slugs:
            spec = self.company.directory(slug)
            with scope(tenant=self._tenant(slug).pk, cause=_cause("demo", "the story is told")):
                connections.resume(connection=self._connection(spec), at=datetime.now(UTC))

    def _listen(self, slug: str) -> None:
        """One directory is listened to between its readings, from a reading on that begins when the story is over.

        A feed hears a few minutes of what was before it: sooner, it would bring right what the readings are to find.
        """
        begins_at = datetime.now(UTC) + FEED_BEGINS_AFTER
        with scope(tenant=self._tenant(slug).pk, cause=_cause("demo", "what changes is heard between two readings")):
            system = self._connection(self.company.directory(slug)).system
            for stream in STREAMS:
                cursors.follow(system=system, stream=stream, cadence_minutes=1, at=begins_at)

    def _pause(self) -> None:
        for spec in self.company.directories:
            with scope(tenant=self._tenant(spec.slug).pk, cause=_cause("demo", "the story goes on")):
                connections.pause(connection=self._connection(spec), reason="the demo is being loaded", at=self.at)

    def _read(self, slugs: Sequence[str]) -> None:
        """Let the scheduled reconciliation read these systems once, and wait for it."""
        self._begin_reading(slugs)
        deadline = time.monotonic() + FIRST_READING_SECONDS
        for slug in slugs:
            while not self._was_read(slug):
                if time.monotonic() > deadline:
                    raise CommandError(f"{slug} was not read within {FIRST_READING_SECONDS} s: is the worker running?")
                time.sleep(1)
        self._say("The first readings are complete and show no difference.")

    def _was_read(self, slug: str) -> bool:
        with scope(tenant=self._tenant(slug).pk):
            return self._connection(self.company.directory(slug)).last_complete_at is not None
