"""When each sweep last looked at everything of the tenant: the only writer of Sweep."""

from datetime import datetime, timedelta
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models.sweep import Sweep, SweepName

# A sweep ticks every minute: one that was not done for so long is late.
LATE_AFTER = timedelta(minutes=5)


def done(name: SweepName, *, tenant: UUID, at: datetime) -> None:
    """A sweep has come to its end. Needs no cause: it changes nothing of the roll."""
    Sweep.objects.bulk_create(
        [Sweep(tenant_id=tenant, name=name, done_at=at)],
        update_conflicts=True, unique_fields=["tenant", "name"], update_fields=["done_at"],
    )  # fmt: skip


def late(*, at: datetime) -> dict[SweepName, tuple[str, datetime | None]]:
    """The sweeps that are late, each with why and since when; None: never done. One query."""
    last = dict(Sweep.objects.values_list("name", "done_at"))
    found: dict[SweepName, tuple[str, datetime | None]] = {}
    for name in SweepName:
        done_at = last.get(name)
        if done_at is None:
            found[name] = (_("%(sweep)s has not run yet") % {"sweep": name.label}, None)
        elif at - done_at > LATE_AFTER:
            found[name] = (_("%(sweep)s is late") % {"sweep": name.label}, done_at + LATE_AFTER)
    return found
