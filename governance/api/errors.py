"""What the API answers where there is nothing: JSON, as everywhere in it."""

import re

from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults

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
