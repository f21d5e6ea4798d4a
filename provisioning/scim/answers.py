"""An answer before it is HTTP, and the one address that all locations begin with.

Every answer of the receiver goes through here, so that none is HTML and none that refuses is empty.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django_scim.constants import SCIM_CONTENT_TYPE

from provisioning.scim.errors import ScimError


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Status, JSON body (None: no content) and headers.

    A body too long to be held is a `stream` of its text instead, which is read after everything else has been done;
    `brief` is what the ledger keeps of that.
    """

    status: int
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Callable[[], Iterator[bytes]] | None = None
    brief: Mapping[str, Any] | None = None

    def http(self) -> HttpResponseBase:
        """The answer as Django sends it. Nobody may keep it: it speaks of people."""
        response: Any
        if self.stream is not None:
            response = StreamingHttpResponse(self.stream(), status=self.status, content_type=SCIM_CONTENT_TYPE)
        else:
            content = b"" if self.body is None else json.dumps(self.body, ensure_ascii=False).encode()
            response = HttpResponse(content, status=self.status, content_type=SCIM_CONTENT_TYPE)
        response["Cache-Control"] = "no-store"
        # Django would log the path of a refusal as it was sent. Our own line has it without secrets.
        response._has_been_logged = True  # noqa: SLF001
        for name, value in self.headers.items():
            response[name] = value
        sent: HttpResponseBase = response
        return sent


def refusal(error: ScimError) -> Answer:
    """The answer that refuses (RFC 7644 section 3.12)."""
    return Answer(status=error.status, body=error.body(), headers=error.headers)


def base_url(request: HttpRequest) -> str:
    """The absolute address of the receiver without a slash at its end, on the host that the client used.

    The public address decides about http or https for its own host: a proxy may have taken the TLS off.
    """
    host = request.get_host()
    public = str(settings.ROLLCALL_PUBLIC_URL)
    origin = public if urlsplit(public).netloc == host else f"{request.scheme}://{host}"
    return f"{origin}{reverse('scim:root').rstrip('/')}"
