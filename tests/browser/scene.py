"""A small company on one afternoon: what the pages show, all of it made by the doors of the product.

Two directories tell us of their people over SCIM and are read back over SCIM; the readings of a third are not whole.
"""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accounts import expiry, findings, tenants
from accounts.models import Account, Finding, TenantKind
from accounts.models.account import AccountKind, AccountState
from accounts.models.user import RoleName, User
from audit.models import CauseKind
from audit.scope import scope
from governance import approvals, campaigns, lines, reviews
from governance.admin.system_canary import names_of
from governance.models.approval import Approval, ApprovalKind
from governance.models.campaign import Campaign, Review, ReviewState, Silence
from provisioning import freshness
from provisioning.models.plan import Plan, PlanState
from tests.conftest import a_cause
from tests.factories.accounts import a_group, a_person, a_service, account_of, answer_for
from tests.factories.people import a_login
from tests.factories.scim import PATCH_URN
from tests.factories.systems import Place, a_place, read
from tests.fakes.directories import serving

if TYPE_CHECKING:
    from tests.fakes.directories import FakeDirectory

DAY = dt.timedelta(days=1)
# Sign-in names, by what somebody is. The second security person sees what the first has answered.
LOGINS = {
    "security": "l.chen", "second security": "m.ito", "owner": "a.ruiz", "auditor": "k.osei",
    "administrator": "p.lindqvist",
}  # fmt: skip
_PEOPLE = (
    "Lena Chen", "Mika Ito", "Ana Ruiz", "Kofi Osei", "Petra Lindqvist", "Tomas Novak", "Ines Duarte", "Yusuf Demir",
    "Hanna Berg", "Oscar Weiss", "Priya Nair", "Samuel Okoro", "Clara Rossi", "Jonas Falk", "Maya Cohen", "Diego Santos",
)  # fmt: skip
_ROLES = {
    "Lena Chen": RoleName.SECURITY, "Mika Ito": RoleName.SECURITY, "Ana Ruiz": RoleName.OWNER,
    "Kofi Osei": RoleName.AUDITOR, "Petra Lindqvist": RoleName.ADMINISTRATOR,
}  # fmt: skip
# Name, purpose, days until its end, whether somebody answers for it.
_SERVICES = (
    ("svc-deploy", "deploys the shop, CHG-114", 38, True),
    ("svc-billing", "sends the invoices of the night", 120, True),
    ("svc-backup", "copies the databases off site", 6, True),
    ("svc-search", "rebuilds the search index", 90, True),
    ("svc-mailer", "sends mail of the shop", 25, True),
    ("svc-etl", "loads the warehouse", 60, False),
)
_FIRST = ("Ada", "Ben", "Carl", "Dora", "Emil", "Fay", "Gus", "Hugo", "Ida", "Jan", "Kira", "Leo", "Mona")
_LAST = ("Adler", "Boone")


def now() -> dt.datetime:
    """The clock: the database has the same one."""
    return dt.datetime.now(dt.UTC)


@dataclass
class Scene:
    """Where what is on the way to see can be found: addresses below /t/<slug>, by name."""

    slug: str
    pages: dict[str, str] = field(default_factory=dict)
    tenant_id: Any = None
    token: str = ""

    def path(self, name: str) -> str:
        """The address of a page."""
        return f"/t/{self.slug}{self.pages[name]}"


def build() -> Scene:
    """Make everything, and say where it is. Takes some seconds; needs a database that may be written to for good."""
    scene = Scene(slug="larkfield")
    with scope(cause=a_cause(kind=CauseKind.SETUP, actor="make_tenant", reason="first start")):
        tenant = tenants.make(
            slug=scene.slug, name="Larkfield Group", time_zone="Europe/Berlin", kind=TenantKind.ORGANISATION, at=now()
        )
    scene.tenant_id = tenant.pk
    with ExitStack() as stack:
        okta, github, crm = (stack.enter_context(serving()) for _ in range(3))
        identities = _identities(a_place(tenant, "Okta prod", okta, canary="roll-canary", shrink_percent=10))
        people = identities.people
        _services(identities)
        _code(a_place(tenant, "GitHub", github, canary="roll-canary", freshness_minutes=240), scene)
        _crm(a_place(tenant, "Old CRM", crm, canary="roll-canary", freshness_minutes=1440))
        read(identities.place)
        _campaign(scene, people)
        _deploy_comes_back(identities, scene)
        _lost(identities, okta)
        scene.pages["run"] = f"/admin/runs/{read(identities.place).pk}/"
        _tested(identities.place, scene)
    _evening(scene)
    return scene


@dataclass
class _Identities:
    place: Place
    people: dict[str, Account]
    users: dict[str, User]
    services: dict[str, str] = field(default_factory=dict)


def _identities(place: Place) -> _Identities:
    _canary(place)
    people = {name: account_of(place, a_person(place, name, title="Staff")) for name in _PEOPLE}
    a_group(place, "Everybody", *[one.user_name for one in people.values()])
    with scope(tenant=place.idp.tenant.pk, cause=a_cause(kind=CauseKind.SETUP, actor="setup", reason="first people")):
        users = {name: a_login(people[name], role, at=now()) for name, role in _ROLES.items()}
    return _Identities(place=place, people=people, users=users)


def _canary(place: Place) -> None:
    remote = place.remote["roll-canary"] = place.directory.user("roll-canary", displayName="Roll canary")
    place.idp.user("roll-canary", externalId=remote, displayName="Roll canary")


def _services(made: _Identities) -> None:
    owner = made.people["Ana Ruiz"]
    for name, purpose, days, is_owned in _SERVICES:
        scim_id = a_service(made.place, name, purpose=purpose, expires_at=now() + days * DAY)
        made.services[name] = scim_id
        if is_owned:
            answer_for(account_of(made.place, scim_id), owner, at=now())
    a_group(made.place, "Shop operators", "svc-billing", "svc-mailer", "svc-deploy")
    a_group(made.place, "Invoice store writers", "svc-billing")
    # What a provider really sends: a capital, and a text where a truth value belongs.
    made.place.idp.call(
        "PATCH",
        f"/Users/{made.services['svc-search']}",
        {"schemas": [PATCH_URN], "Operations": [{"op": "Replace", "path": "active", "value": "True"}]},
    )
    made.place.idp.post("/Users", {"schemas": [], "userName": ""})
    made.place.idp.patch(
        "/Users/01930000-0000-7000-8000-000000000000", {"op": "replace", "path": "title", "value": "x"}
    )
    made.place.idp.call("GET", "/Users", Authorization=f"Bearer {made.place.idp.token[:-6]}wrong0")


def _code(place: Place, scene: Scene) -> None:
    """Twenty-six people, of whom twenty-two are off at once: more than the brake lets through."""
    _canary(place)
    names = [f"{first} {last}" for last in _LAST for first in _FIRST]
    for name in names:
        a_person(place, name)
    read(place)
    for name in names[:22]:
        given, _, family = name.partition(" ")
        place.directory.change(place.remote[f"{given[0]}.{family}".lower() + f"@{place.domain}"], active=False)
    read(place)
    with scope(tenant=place.idp.tenant.pk):
        plan = Plan.objects.get(system=place.idp.system, state=PlanState.TRIPPED)
        scene.pages |= {
            "plan": f"/admin/plans/{plan.pk}/",
            "system-tripped": f"/admin/systems/{place.idp.system.pk}/",
        }


def _crm(place: Place) -> None:
    """Somebody has ended the account that every reading must show: what it says of others can't be believed."""
    _canary(place)
    for name in ("Olga Petrova", "Marc Dubois", "Nils Holm", "Rosa Vidal", "Tim Keller", "Uma Patel", "Vera Lang"):
        a_person(place, name)
    place.directory.delete(place.remote["roll-canary"])
    read(place)


def _campaign(scene: Scene, people: dict[str, Account]) -> None:
    """A recertification, half done."""
    security = User.objects.get(username="l.chen")
    owner = User.objects.get(username="a.ruiz")
    with scope(
        tenant=scene.tenant_id,
        cause=a_cause(kind=CauseKind.PAGE, actor="l.chen", reason="the quarter's recertification"),
    ):
        campaign = campaigns.draft(
            tenant=people["Lena Chen"].tenant, user=security, name="Q4 service accounts",
            query=lines.Query(kinds=(AccountKind.SERVICE,)), deadline=now() + 9 * DAY, silence=Silence.SUSPEND, at=now(),
        )  # fmt: skip
        campaigns.launch(campaign=campaign, user=security, at=now())
        campaigns.draft(
            tenant=people["Lena Chen"].tenant, user=security, name="Privileged people", query=lines.Query(privileged=True),
            deadline=now() + 30 * DAY, silence=Silence.ESCALATE, at=now(),
        )  # fmt: skip
        waiting = list(Review.objects.filter(campaign=campaign, state=ReviewState.WAITING).select_related("account"))
    by_name = {line.account.user_name: line for line in waiting}
    with scope(tenant=scene.tenant_id, cause=a_cause(kind=CauseKind.PAGE, actor="a.ruiz", reason="recertification")):
        reviews.certify(review=by_name["svc-billing"], user=owner, reason="runs every night", at=now())
        reviews.revoke(review=by_name["svc-search"], user=owner, reason="its project has ended", at=now())
    scene.pages |= {
        "campaign": f"/admin/campaigns/{campaign.pk}/",
        "review": f"/my/reviews/{by_name['svc-mailer'].pk}/",
        "review-end": f"/my/reviews/{by_name['svc-mailer'].pk}/end/",
    }


def _deploy_comes_back(made: _Identities, scene: Scene) -> None:
    """It ended, its directory asks for it, and one of two people has said yes."""
    idp, scim_id = made.place.idp, made.services["svc-deploy"]
    account = account_of(made.place, scim_id)
    idp.patch(f"/Users/{scim_id}", {"op": "replace", "path": "active", "value": False})
    for _ in range(2):
        idp.call(
            "PATCH",
            f"/Users/{scim_id}",
            {"schemas": [PATCH_URN], "Operations": [{"op": "Replace", "path": "active", "value": "True"}]},
        )
    with scope(tenant=scene.tenant_id, cause=a_cause(kind=CauseKind.TASK, actor="sweep", reason="due")):
        approvals.open_for_plans(at=now())
        question = Approval.objects.get(kind=ApprovalKind.REACTIVATION, account=account)
    with scope(tenant=scene.tenant_id, cause=a_cause(kind=CauseKind.PAGE, actor="l.chen", reason="restore drill")):
        approvals.answer(
            approval=question, user=made.users["Lena Chen"], is_yes=True, reason="restore drill, CHG-131",
            expires_at=now() + 30 * DAY, at=now(),
        )  # fmt: skip
    scene.pages |= {
        "approval": f"/admin/approvals/{question.pk}/",
        "approval-yes": f"/admin/approvals/{question.pk}/yes/",
        "plan-of-one": f"/admin/plans/{question.plan_id}/",
        "account": f"/admin/accounts/{account.pk}/",
        "exchange": f"/admin/ledger/{idp.last().pk}/",
        "system": f"/admin/systems/{idp.system.pk}/",
        "system-token": f"/admin/systems/{idp.system.pk}/token/",
        "system-connection": f"/admin/systems/{idp.system.pk}/connection/",
        "system-files": f"/admin/systems/{idp.system.pk}/files/",
        "system-rule": f"/admin/systems/{idp.system.pk}/rules/",
        "system-policy": f"/admin/systems/{idp.system.pk}/policy/",
        "system-exception": f"/admin/systems/{idp.system.pk}/exception/",
        "system-administrator": f"/admin/systems/{idp.system.pk}/administrators/",
    }


def _lost(made: _Identities, directory: FakeDirectory) -> None:
    """The directory has done this and never told us."""
    remote = made.place.remote
    directory.change(remote["o.weiss@larkfield.example"], active=False)
    directory.user("j.temp@larkfield.example", displayName="Jo Temp")


def _tested(place: Place, scene: Scene) -> None:
    """Somebody is testing the connection, and has clicked a part of it."""
    idp, began = place.idp, now().replace(microsecond=0)
    with scope(tenant=scene.tenant_id):
        names = names_of(idp.system, began)
    idp.get('/Users?filter=userName eq "nobody@larkfield.example"')
    user = idp.user(names.account, displayName="Rollcall test", title="Staff")
    idp.patch(f"/Users/{user}", {"op": "replace", "value": {"title": "Lead"}})
    group = idp.group(names.group)
    idp.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": user}]})
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": "shoes", "value": [{"value": user}]})
    idp.patch(f"/Users/{user}", {"op": "replace", "value": {"active": "false"}})
    idp.get(f"/Users/{user}")
    scene.token = idp.token
    scene.pages["system-test"] = f"/admin/systems/{idp.system.pk}/test/?idp=okta&since={int(began.timestamp())}"


def _evening(scene: Scene) -> None:
    """What the clock does: expiries are told, freshness is watched, somebody is offered an account and suspended."""
    with scope(tenant=scene.tenant_id, cause=a_cause(kind=CauseKind.TASK, actor="sweep", reason="due")):
        expiry.tell(at=now())
        freshness.watch_freshness(at=now())
        finding = Finding.objects.filter(account__isnull=False).order_by("-severity", "id").first()
        person = User.objects.get(username="a.ruiz")
        active = Account.objects.get(user_name="svc-billing", state=AccountState.ACTIVE)
    assert finding is not None
    with scope(tenant=scene.tenant_id, cause=a_cause(kind=CauseKind.PAGE, actor="l.chen", reason="looks into it")):
        findings.assign(finding=finding, to=User.objects.get(username="l.chen"))
    with scope(tenant=scene.tenant_id):
        campaigns_known = Campaign.objects.count()
    assert campaigns_known == 2
    scene.pages |= {
        "finding": f"/admin/findings/{finding.pk}/",
        "person": f"/admin/people/{person.pk}/",
        "account-active": f"/admin/accounts/{active.pk}/",
        "account-suspend": f"/admin/accounts/{active.pk}/suspend/",
        "account-end": f"/admin/accounts/{active.pk}/end/",
        "account-offer": f"/admin/accounts/{active.pk}/offer/",
    }
