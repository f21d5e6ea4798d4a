"""What the API says of accounts, findings and runs. Named field by field: nothing new leaks by being added to a model."""

from typing import Any

from rest_framework import serializers

from accounts.models.account import Account
from accounts.models.finding import Finding, Severity
from accounts.models.group import Membership
from accounts.models.ownership import Ownership
from accounts.models.system import System
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow
from provisioning.models.snapshot import SnapshotProof


class SystemName(serializers.ModelSerializer[System]):
    """A system by id and name."""

    class Meta:
        model = System
        fields = ("id", "name")


class AccountName(serializers.ModelSerializer[Account]):
    """An account by id and user name."""

    class Meta:
        model = Account
        fields = ("id", "user_name")


class OwnershipOut(serializers.ModelSerializer[Ownership]):
    """Who answers for an account, or was asked to."""

    owner = AccountName()

    class Meta:
        model = Ownership
        fields = ("owner", "kind", "state", "offered_at", "answered_at")


class AccountOut(serializers.ModelSerializer[Account]):
    """One account. `state` is our word: `deprovisioned` is what pages call ended. `owners` are offers and
    acceptances that have not ended."""

    owners = OwnershipOut(many=True, source="live_ownerships")

    class Meta:
        model = Account
        fields = (
            "id", "kind", "state", "state_since", "user_name", "display_name", "email", "employee_number", "purpose",
            "environment", "is_privileged", "expires_at", "epoch", "cutoff_at", "last_used_at", "made_at", "owners",
        )  # fmt: skip


class ShadowOut(serializers.ModelSerializer[Shadow]):
    """An account as one system knows it; `wants_active` is the last word of that system."""

    system = SystemName()

    class Meta:
        model = Shadow
        fields = ("id", "system", "name", "external_id", "wants_active", "changed_at", "ended_at")


class MembershipOut(serializers.ModelSerializer[Membership]):
    """One reason why an account is in a group. `system` is who says so, where a system does."""

    group = serializers.CharField(source="group.display_name")
    is_privileged = serializers.BooleanField(source="group.is_privileged")
    system = SystemName(allow_null=True)

    class Meta:
        model = Membership
        fields = ("group", "is_privileged", "origin", "system", "since", "until")


class AccountWhole(AccountOut):
    """One account with what it reaches and who knows it."""

    systems = ShadowOut(many=True, source="all_shadows")
    memberships = MembershipOut(many=True, source="live_memberships")

    class Meta(AccountOut.Meta):
        fields = (*AccountOut.Meta.fields, "systems", "memberships")  # type: ignore[assignment]


class FindingOut(serializers.ModelSerializer[Finding]):
    """Something that is wrong. `severity` is a word: low, medium, high, critical.

    `attribution` says of a difference that a reading found why no event told of it; empty where nobody asked.
    """

    severity = serializers.SerializerMethodField()
    account = AccountName(allow_null=True)
    system = SystemName(allow_null=True)

    class Meta:
        model = Finding
        fields = (
            "id", "kind", "severity", "state", "stage", "title", "account", "system", "evidence", "controls",
            "first_seen_at", "last_seen_at", "due_at", "resolved_at", "resolution", "attribution",
        )  # fmt: skip

    def get_severity(self, finding: Finding) -> str:
        """The severity by its name."""
        return Severity(finding.severity).name.lower()


class ProofOut(serializers.ModelSerializer[SnapshotProof]):
    """One proof that a reading was whole, and whether it held."""

    class Meta:
        model = SnapshotProof
        fields = ("word", "holds", "detail")


class RunOut(serializers.ModelSerializer[Run]):
    """One reconciliation. Its counts mean something only where every proof holds and `state` is `closed`."""

    system = SystemName()
    proofs = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = (
            "id",
            "system",
            "state",
            "step",
            "started_by",
            "started_at",
            "ended_at",
            "counts",
            "problem",
            "proofs",
        )

    def get_proofs(self, run: Run) -> list[dict[str, Any]]:
        """The proofs of its reading, in the order in which they were made."""
        return [dict(ProofOut(proof).data) for snapshot in run.snapshots.all() for proof in snapshot.proofs.all()]
