"""Whether what was copied in is what the product would have made: `python -m bench.likeness N ID`.

Person `N` was made through the API and got that id. Every column of the resource and its account is compared with what
`bench.load` would have written for the same person, except keys and instants.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bench.load import account_of, shadow_of  # sets Django up; before anything of the product

from accounts.models.tenant import Tenant  # isort: skip
from audit.scope import scope  # isort: skip
from bench.company import Person

from provisioning.models.shadow import Shadow  # isort: skip

if TYPE_CHECKING:
    from django.db.models import Model

_OWN = {"id", "account_id", "made_at", "changed_at", "state_since"}


def differing(made: Model, copied: Model) -> dict[str, tuple[Any, Any]]:
    """The columns in which two rows differ, beside those that are each row's own."""
    names = [field.attname for field in made._meta.concrete_fields if field.attname not in _OWN]
    pairs = {name: (getattr(made, name), getattr(copied, name)) for name in names}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


def compare(n: int, scim_id: str) -> dict[str, tuple[Any, Any]]:
    """The differences of person `n`; empty when there are none."""
    with scope():
        tenant = Tenant.objects.get(slug="bench")
    with scope(tenant=tenant.pk):
        made = Shadow.objects.select_related("account").get(pk=scim_id)
        person = Person(n=n)
        assert made.account is not None
        return {
            **differing(made, shadow_of(person, tenant_id=tenant.pk, system_id=made.system_id)),
            **differing(made.account, account_of(person, tenant_id=tenant.pk)),
        }


if __name__ == "__main__":
    found = compare(int(sys.argv[1]), sys.argv[2])
    for name, (one, other) in found.items():
        print(f"{name}: the product writes {one!r}, the bench {other!r}", file=sys.stderr)
    sys.exit(1 if found else 0)
