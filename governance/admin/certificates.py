"""What was measured each night, as it was signed: shown, and given as a file that programs elsewhere can verify."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.rules import Word
from governance import certificates as verbs
from governance.certificates import Night
from governance.coverage import Coverage
from governance.models.certificate import Certificate
from governance.pages import PageRequest, page

NIGHTS_SHOWN = 60


@dataclass(frozen=True)
class Row:
    """One night as the page tells it: a shape and a word, and what was said."""

    night: Night
    shape: str
    word: str
    coverage: Coverage
    findings: int | None
    unmeasured: int | None


def _row(night: Night) -> Row:
    if night.certificate is None:
        word = _("no certificate: not known") if night.is_missing else _("not made yet")
        return Row(night, "?" if night.is_missing else "~", word, Coverage(), None, None)
    said = night.said
    states = [one["state"] for one in said["systems"]]
    grey = states.count("not_measured")
    if grey or not states:
        shape, word = "?", ngettext("%(n)d system not measured", "%(n)d systems not measured", grey) % {"n": grey}
    elif "differs" in states:
        shape, word = "!", _("measured, and differing")
    else:
        shape, word = "=", _("measured and equal")
    return Row(night, shape, word, Coverage(**said["coverage"]), sum(said["findings"].values()), grey)


def _sentence(rows: list[Row]) -> str:
    if not rows:
        return _("No night is over yet.")
    missing = sum(row.night.is_missing for row in rows)
    if missing:
        text = ngettext(
            "%(n)d of the last %(all)d nights has no certificate: nobody knows what was measured then.",
            "%(n)d of the last %(all)d nights have no certificate: nobody knows what was measured then.",
            missing,
        )
        return text % {"n": missing, "all": len(rows)}
    return ngettext("The last night is certified.", "Each of the last %(n)d nights is certified.", len(rows)) % {
        "n": len(rows)
    }


@page(Word.ROLL_READ)
def certificates(request: PageRequest) -> HttpResponse:
    """The last sixty nights, the newest first; one without a certificate is grey."""
    rows = [_row(night) for night in verbs.nights(tenant=request.tenant, at=request.at, count=NIGHTS_SHOWN)]
    certified = [row for row in rows if row.night.certificate is not None]
    return render(
        request,
        "pages/certificates.html",
        {
            "rows": rows,
            "sentence": _sentence(rows),
            "last": certified[0] if certified else None,
            "trend": [row.coverage.percent for row in reversed(rows)],
            "days": [row.night.day.isoformat() for row in reversed(rows)],
        },
    )


def as_file(certificate: Certificate) -> Mapping[str, Any]:
    """What a verifier is given."""
    return {
        "rollcall": "certificate",
        "statement": certificate.statement,
        "signature": b64encode(bytes(certificate.signature)).decode("ascii"),
    }


@page(Word.ROLL_READ)
def download(request: PageRequest, pk: UUID) -> HttpResponse:
    """One certificate as a file."""
    found = get_object_or_404(Certificate, pk=pk)
    answer = HttpResponse(json.dumps(as_file(found)) + "\n", content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="certificate-{request.tenant.slug}-{found.day}.json"'
    return answer
