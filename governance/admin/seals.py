"""Seals: how far the past of this tenant is signed, and what was taken out of it by right. Verifying is for programs."""

from django.http import HttpResponse
from django.shortcuts import render

from accounts.rules import Word
from audit import sealing
from audit.models import Witnessed
from governance.pages import PageRequest, page, window
from provisioning.models.erasure import Archive, Erasure


@page(Word.ROLL_READ)
def seals(request: PageRequest) -> HttpResponse:
    """Newest first, with what waits for its seal, and what the witness has."""
    tenant = request.tenant.pk
    rows = window(request, sealing.seals(tenant).only("number", "at", "rows", "root", "key_id"))
    since = sealing.unsealed_since(tenant=tenant)
    told = Witnessed.objects.filter(tenant_id=tenant).first()
    return render(
        request,
        "pages/seals.html",
        {
            "window": rows,
            "since": since,
            "is_late": since is not None and request.at - since > sealing.PATIENCE,
            "told": told,
            "archive": Archive.objects.first(),
            "erasures": Erasure.objects.count(),
        },
    )
