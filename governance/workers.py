"""gunicorn's worker, and what it says to requests that are no HTTP: nothing else of ours has seen them.

By itself gunicorn answers them with a page of HTML, and a SCIM client is promised that it never gets one (RFC 7644
section 3.12). Nobody knows yet for whom such a request was meant, so all of them get the body of a SCIM error.
"""

import json
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

MEANINGS: dict[type[Exception], tuple[int, str, str]] = {
    errors.LimitRequestLine: (
        414,
        "URI Too Long",
        "The address is longer than 8,190 bytes. Send a long filter by POST to /.search (RFC 7644 section 3.4.3).",
    ),
    errors.LimitRequestHeaders: (
        431,
        "Request Header Fields Too Large",
        "The headers are too many, or one is longer than 16,384 bytes.",
    ),
    errors.UnsupportedTransferCoding: (501, "Not Implemented", "Of all transfer codings only chunked is understood."),
    errors.ExpectationFailed: (417, "Expectation Failed", "Of all expectations only 100-continue is understood."),
}
OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)
NOT_HTTP = (
    400,
    "Bad Request",
    "The request is not well-formed HTTP/1.1 (RFC 9112): see its first line and its headers.",
)
FAILED = (
    500,
    "Internal Server Error",
    "Something failed here; nothing was changed by a request that was not understood.",
)


def meaning_of(error: BaseException) -> tuple[int, str, str]:
    """Status, reason and what to do. What was sent is not repeated: it may hold a token."""
    for kind, meaning in MEANINGS.items():
        if isinstance(error, kind):
            return meaning
    is_theirs = type(error).__module__ == errors.__name__ and not isinstance(error, OURS)
    return NOT_HTTP if is_theirs else FAILED


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Threads, as gunicorn's own, that refuse in SCIM's words."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002  its signature
        """Answer what could not be read, log why, and close."""
        status, reason, detail = meaning_of(exc)
        # The class alone: a message of gunicorn's repeats what was sent.
        if status == FAILED[0]:
            self.log.error("a request failed before the product saw it: %s", type(exc).__name__, exc_info=exc)
        else:
            self.log.warning("a request that is no HTTP was refused with %s: %s", status, type(exc).__name__)
        body = json.dumps(
            {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": str(status), "detail": detail}
        )
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/scim+json\r\n"
            f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, (head + body).encode("ascii"))
        except OSError as error:
            self.log.debug("nobody waits for the refusal: %s", type(error).__name__)
