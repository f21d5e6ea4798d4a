"""Whether what was copied in is what the product would have made: `python -m bench.within columns N ID`.

Person `N` was made through the API and got that id. Every column of the resource and its account is compared with what
`bench.load` would have written for the same person, except keys and instants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accounts.models.tenant import Tenant
from audit.scope import scope
from bench.company import Person
from bench.load import account_of, shadow_of
from provisioning.models.shadow import Shadow

if TYPE_CHECKING:
    from django.db.models import Model

_OWN = {"id", "account_id", "made_at", "changed_at", "state_since"}


def differing(made: Model, copied: Model) -> dict[str, tuple[Any, Any]]:
    """The columns in which two rows differ, beside those that are each row's own."""
    names = [field.attname for field in made._meta.concrete_fields if field.attname not in _OWN]
    pairs = {name: (getattr(made, name), getattr(copied, name)) for name in names}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


def main(n: str, scim_id: str) -> dict[str, str]:
    """The differences of person `n`, in words by column; empty when there are none."""
    with scope():
        tenant = Tenant.objects.get(slug="bench")
    with scope(tenant=tenant.pk):
        made = Shadow.objects.select_related("account").get(pk=scim_id)
    person = Person(n=int(n))
    assert made.account is not None
    found = {
        **differing(made, shadow_of(person, tenant_id=tenant.pk, system_id=made.system_id)),
        **differing(made.account, account_of(person, tenant_id=tenant.pk)),
    }
    return {name: f"the product writes {one!r}, the bench {other!r}" for name, (one, other) in found.items()}
