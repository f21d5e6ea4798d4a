"""The figures of all tenants for a Prometheus server, in its text format; for whoever has the token of the environment."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models.tenant import Tenant
from audit.outages import RETRY_AFTER, is_outage
from audit.scope import scope
from governance import figures
from governance.figures import HELP, Figure

# https://prometheus.io/docs/instrumenting/exposition_formats/
FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def _may(request: HttpRequest, token: str) -> bool:
    """Compared by digests of one length, and in constant time."""
    scheme, _space, given = request.headers.get("Authorization", "").partition(" ")
    digests = [hashlib.sha256(one.encode("utf-8", "surrogateescape")).digest() for one in (given.strip(), token)]
    return hmac.compare_digest(*digests) and scheme.lower() == "bearer"


def _plain(text: str, status: int) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")


def _all(*, at: datetime) -> list[Figure]:
    """Tenant after tenant, each in its own scope."""
    with scope():
        tenants = list(Tenant.objects.order_by("slug"))
        found = figures.of_nobody(at=at)
    for tenant in tenants:
        with scope(tenant=tenant.pk):
            found += figures.of_tenant(tenant=tenant, at=at)
    return found


def lines(found: Iterable[Figure]) -> Iterator[str]:
    """The text format: each name once, with what it says, and all of its figures below it."""
    by_name: dict[str, list[Figure]] = {name: [] for name in HELP}
    for one in found:
        by_name[one.name].append(one)
    for name, some in by_name.items():
        if some:
            yield f"# HELP {name} {HELP[name]}\n# TYPE {name} gauge\n"
        for one in some:
            labels = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in one.labels.items())
            yield f"{name}{{{labels}}} {one.value:.15g}\n"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """404 where no token is set, 401 without it; a database that is away is 503, which is itself worth an alert."""
    token = settings.ROLLCALL_METRICS_TOKEN
    if not token:
        return _plain("there is nothing here: ROLLCALL_METRICS_TOKEN is not set", 404)
    if not _may(request, token):
        refused = _plain("a bearer token is needed", 401)
        refused["WWW-Authenticate"] = 'Bearer realm="Rollcall metrics"'
        return refused
    try:
        text = "".join(lines(_all(at=datetime.now(UTC))))
    except Error as error:
        if not is_outage(error):
            raise
        away = _plain("the database is away", 503)
        away["Retry-After"] = str(RETRY_AFTER)
        return away
    return HttpResponse(text, content_type=FORMAT)
