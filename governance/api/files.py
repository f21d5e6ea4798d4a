"""Where a system sends a file of itself: `PUT /files/v1/<tenant>/<system>`. What is signed of it is all that authenticates it.

No session and no token: whoever knows the secret of that system's connection may send. The signature covers the digest of
the bytes, so it is checked before one of them is read; nothing of a stranger's file touches a disk or a row.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from accounts.models.tenant import Tenant
from audit.models import Cause, CauseKind
from audit.scope import scope
from governance.middleware import loggable
from provisioning import connections, tokens, uploads
from provisioning.connectors.file_rows import Form
from provisioning.connectors.files import Claim, instant
from provisioning.models.connection import Connection
from provisioning.models.upload import Upload
from provisioning.scim import authentication, pace

FORMS: Mapping[str, Form] = {
    "text/csv": Form.CSV,
    "application/x-ndjson": Form.NDJSON,
    "application/jsonl": Form.NDJSON,
}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ACTOR = 200
_ROWS = re.compile(r"[0-9]{1,9}")
NOT_SIGNED = "No such system takes files, or the signature is not that of its secret over what is said of the file."


class _No(Exception):
    """The answer to a file that is not taken."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


@csrf_exempt
def upload(request: HttpRequest, slug: str, system: UUID) -> JsonResponse:
    """Take one file, whole, or say why not. A reading of it is due at once."""
    # The middleware has set the clock of the request.
    page: Any = request
    at: datetime = page.at
    try:
        _check_method_and_pace(request, system, at=at)
        taken = _taken(request, slug=slug, claim=_claim(request, system), at=at)
    except _No as no:
        return JsonResponse({"detail": no.detail}, status=no.status, headers=no.headers)
    counts = {"rows": taken.rows, "users": taken.users, "groups": taken.groups}
    return JsonResponse({"id": str(taken.pk), "made_at": taken.made_at.isoformat(), **counts}, status=201)


def _check_method_and_pace(request: HttpRequest, system: UUID, *, at: datetime) -> None:
    if request.method != "PUT":
        raise _No(405, "A file is sent with PUT.", Allow="PUT")
    if pace.requests_over(system, at=at):
        raise _No(429, "Too many requests.", **{"Retry-After": str(pace.WINDOW)})


def _taken(request: HttpRequest, *, slug: str, claim: Claim, at: datetime) -> Upload:
    connection = _connection(slug, claim.system)
    if connection is None:
        raise _stranger(request)

    def cause() -> Cause:
        actor = connection.system.name[:_ACTOR]
        return Cause(kind=CauseKind.API, actor=actor, subject=loggable(request.path_info), reason="a file is sent")

    try:
        return uploads.receive(
            connection=connection, claim=claim, signature=request.headers.get("Rollcall-Signature", ""),
            source=cast("IO[bytes]", request), cause=cause, at=at,
        )  # fmt: skip
    except uploads.NotSigned:
        raise _stranger(request) from None
    except uploads.Refused as error:
        raise _refusal(error) from error
    except connections.SecretUnreadable as error:
        raise _No(
            503, "The secret of this system can't be decrypted here: its administrators enter it anew."
        ) from error
    except UnreadablePostError as error:
        raise _No(400, "The body ended before it was whole.") from error


def _refusal(error: uploads.Refused) -> _No:
    if isinstance(error, uploads.TooOften):
        return _No(429, str(error), **{"Retry-After": str(error.retry_after)})
    return _No(409 if isinstance(error, uploads.NotNewer) else 422, str(error))


def _connection(slug: str, system: UUID) -> Connection | None:
    with scope():
        tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        return None
    with scope(tenant=tenant.pk):
        return uploads.connection_for(system)


def _stranger(request: HttpRequest) -> _No:
    """401, and a row in the ring of refused requests."""
    with scope():
        tokens.record_refused(
            refused=tokens.Refused(tokens.Refusal.UNSIGNED), method=request.method or "",
            path=loggable(request.path_info), remote=authentication.remote(request),
        )  # fmt: skip
    return _No(401, NOT_SIGNED)


def _claim(request: HttpRequest, system: UUID) -> Claim:
    """What the headers say of the file."""
    form = FORMS.get(request.content_type or "")
    if form is None:
        raise _No(415, f"The Content-Type of a file is one of: {', '.join(FORMS)}.")
    length = request.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise _No(411, "A file says its Content-Length.")
    if int(length) > settings.ROLLCALL_FILE_MAX_BYTES:
        raise _No(413, f"A file has at most {settings.ROLLCALL_FILE_MAX_BYTES:,} bytes.")
    rows = request.headers.get("Rollcall-Rows", "")
    if not _ROWS.fullmatch(rows):
        raise _No(400, "Rollcall-Rows is how many rows the file has, without its header.")
    digest = request.headers.get("Rollcall-Digest", "").lower()
    if not _DIGEST.fullmatch(digest):
        raise _No(400, "Rollcall-Digest is the SHA-256 of the file, in hexadecimal.")
    made_at = instant(request.headers.get("Rollcall-Made-At", ""))
    if made_at is None:
        raise _No(400, "Rollcall-Made-At is when the file was made, such as 2026-11-30T03:00:00Z.")
    return Claim(system=system, form=form, rows=int(rows), made_at=made_at, digest=digest)
