"""What is answered where there is nothing, or where the database is away: JSON below the API, elsewhere a page."""

import re
import sys

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.http.response import HttpResponseBase
from django.template import loader
from django.utils.translation import gettext as _
from django.views import defaults

from audit.outages import RETRY_AFTER, is_outage
from provisioning.scim import views as scim

log = structlog.get_logger("rollcall.web")

# The tenant's prefix is still on the address where the middleware found no such tenant.
_API = re.compile(r"^(?:/t/[^/]+)?/api/")


def no_such_address(request: HttpRequest, path: str = "") -> HttpResponse:  # noqa: ARG001 - Django's signature
    """An address that the API does not have."""
    detail = _("There is no such address in the API. Addresses end with a slash: accounts/, findings/, runs/.")
    return JsonResponse({"detail": detail}, status=404)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler404` of all addresses: JSON below `/api/`, else the page. A foreign tenant is as one there is not."""
    if not _API.match(request.path):
        answer: HttpResponseNotFound = defaults.page_not_found(request, exception)
        return answer
    return JsonResponse({"detail": _("There is no such tenant or thing, or you have no role in it.")}, status=404)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """`handler500` of all addresses. While the database is away it is no error of ours, and passes: 503."""
    if scim.is_ours(request) or not is_outage(sys.exception()):
        return scim.server_error(request)
    answer: HttpResponse
    if _API.match(request.path):
        answer = JsonResponse(
            {"detail": _("Out of service for a moment: the database is away. Try again.")}, status=503
        )
    else:
        # Without the request: what every page shows beside its own would ask the database.
        answer = HttpResponse(loader.get_template("503.html").render(), status=503)
    answer["Retry-After"] = str(RETRY_AFTER)
    answer["Cache-Control"] = "no-store"
    log.warning("the database is away", error=type(sys.exception()).__name__)
    answer._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001  said above, without a traceback
    return answer
