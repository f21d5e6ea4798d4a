"""Our extension for accounts that are no person's: `domain.md` says what such an account needs."""

from provisioning.scim.metadata.builders import link, read_only, text
from provisioning.scim.metadata.common import LONG_TEXT_LENGTH
from provisioning.scim.metadata.schema import Attribute, Schema

NHI_URN = "urn:rollcall:scim:schemas:extension:nhi:1.0:User"

ENVIRONMENTS = ("production", "staging", "development")
ACCOUNT_KINDS = ("person", "service", "workload", "agent", "shared")

NHI_SCHEMA = Schema(
    id=NHI_URN,
    name="NonHumanIdentity",
    description="What an account that is no person needs: what it is, what for, who answers for it, until when.",
    attributes=(
        Attribute(
            name="kind",
            mutability="immutable",
            canonical_values=ACCOUNT_KINDS,
            closed=True,
            description="What the account is; person when absent.",
        ),
        text("purpose", "What the account is for.", max_length=LONG_TEXT_LENGTH),
        Attribute(
            name="environment",
            canonical_values=ENVIRONMENTS,
            closed=True,
            description="Where the account is used.",
        ),
        Attribute(
            name="expiresAt",
            kind="dateTime",
            description="When it ends unless extended; the tenant's default when absent.",
        ),
        Attribute(
            name="owners",
            kind="complex",
            multi_valued=True,
            description="Who is offered to answer for the account; each must accept.",
            subs=(
                Attribute(name="value", required=True, case_exact=True, description="The id of the user."),
                link("$ref", "The address of the user.", "User"),
                Attribute(name="type", description="The kind of resource.", canonical_values=("User",)),
            ),
        ),
        read_only(
            Attribute(
                name="pending",
                kind="complex",
                description="What was asked for and waits for people.",
                stored=False,
                subs=(
                    Attribute(name="id", case_exact=True, description="The plan that waits."),
                    Attribute(name="state", description="The state of that plan."),
                    Attribute(name="askedAt", kind="dateTime", description="When it was asked for."),
                    Attribute(name="heldBy", multi_valued=True, description="What holds the account back."),
                ),
            )
        ),
    ),
)
