"""Run inside the product, by `python -m local manage shell`: everything that a start of the demo could change, as JSON.

Every task of the schedule has its turn before, so that nothing is only not found yet.
"""

import json
from datetime import UTC, datetime
from importlib import import_module

from django.conf import settings

from accounts.models.account import Account
from accounts.models.finding import Finding
from accounts.models.tenant import Tenant
from audit.scope import scope
from governance.dashboard import front
from governance.models.approval import Approval
from governance.models.campaign import Review
from provisioning.models.plan import Plan
from provisioning.models.shadow import Shadow

for entry in settings.CELERY_BEAT_SCHEDULE.values():
    module, _, name = entry["task"].rpartition(".")
    getattr(import_module(module), name)()


def of_tenant(tenant: Tenant) -> dict[str, object]:
    """What this tenant holds."""
    page = front(tenant=tenant, at=datetime.now(UTC))
    return {
        "findings": sorted([f.kind, f.dedupe_key, f.state] for f in Finding.objects.all()),
        "plans": sorted([str(p.pk), p.system.name, p.kind, p.state] for p in Plan.objects.select_related("system")),
        "approvals": sorted([str(a.pk), str(a.kind), a.state] for a in Approval.objects.all()),
        "accounts": sorted([str(a.pk), a.user_name, a.state] for a in Account.objects.all()),
        "resources": sorted([str(s.pk), s.system.name, s.external_id] for s in Shadow.objects.select_related("system")),
        "revoked": sorted(
            r.account.user_name for r in Review.objects.select_related("account").filter(state="revoked")
        ),
        "front": {
            "is_complete": page.is_complete,
            "sentence": page.sentence,
            "banners": list(page.banners),
            "systems": {row.measured.name: row.measured.is_measured for row in page.systems},
            "waits": sorted(wait.title for wait in page.waits),
            "no_owner": page.nhi.no_owner,
            "ends": sum(page.ends.values()),
            "campaigns": [[row.name, row.progress.total, row.progress.waiting] for row in page.campaigns],
        },
    }


found = {}
for one in Tenant.objects.order_by("slug"):
    with scope(tenant=one.pk):
        found[one.slug] = of_tenant(one)
print("FACTS " + json.dumps(found))
