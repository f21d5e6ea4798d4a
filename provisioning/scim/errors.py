"""The one family of errors that the SCIM room raises, and how they look on the wire (RFC 7644 section 3.12).

`detail` is for the sender and may repeat an attribute name that it sent; `record` is for the ledger and never does.
Neither holds a value from the request nor any text of the database.
"""

import re
from collections.abc import Mapping
from typing import Any

from django_scim.constants import SchemaURI
from django_scim.exceptions import SCIMException

from audit.outages import RETRY_AFTER

MAX_DETAIL = 300
MAX_NAME = 60
_UNPRINTABLE = re.compile(r"[^ -~\u00a1-\u1fff\u2026\u3000-\ud7ff]|\u061c")


def quoted(name: str) -> str:
    """A sender's own word, made safe to repeat: printable, at most 60 characters, in quotation marks."""
    safe = _UNPRINTABLE.sub("?", name)
    return f'"{safe[: MAX_NAME - 1]}…"' if len(safe) > MAX_NAME else f'"{safe}"'


class ScimError(SCIMException):
    """A refusal with its HTTP status, its `scimType` where RFC 7644 table 9 has one, and one plain sentence.

    It subclasses the frame's exception, so that `django_scim`'s dispatch renders it too. `headers` belong on the
    answer (a challenge, `Allow`, `Retry-After`).
    """

    def __init__(
        self,
        status: int,
        scim_type: str | None,
        detail: str,
        *,
        record: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        safe = _UNPRINTABLE.sub("?", detail)[:MAX_DETAIL]
        super().__init__(safe, status=status, scim_type=scim_type)
        self.status: int = status
        self.scim_type: str | None = scim_type
        self.detail: str = safe
        self.record: str = _UNPRINTABLE.sub("?", record)[:MAX_DETAIL] if record is not None else safe
        self.headers: dict[str, str] = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The error message of RFC 7644 section 3.12; `status` is a string there."""
        body: dict[str, Any] = {"schemas": [SchemaURI.ERROR], "status": str(self.status), "detail": self.detail}
        if self.scim_type:
            body["scimType"] = self.scim_type
        return body

    def to_dict(self) -> dict[str, Any]:
        """The frame's name for `body`."""
        return self.body()


class UnknownAttribute(ScimError):
    """400 invalidPath: the path of a PATCH operation names no attribute of the resource."""

    def __init__(self, name: str) -> None:
        super().__init__(
            400,
            "invalidPath",
            f"There is no attribute {quoted(name)}.",
            record="The path names no attribute of this resource.",
        )


class Unresolved(ScimError):
    """400: a removal names members in a way that can't be resolved. It is parked for a person, and never widened."""

    @classmethod
    def by(cls, error: ScimError) -> "Unresolved":
        """The same refusal, which is parked."""
        return cls(error.status, error.scim_type, error.detail, record=error.record)


def invalid_filter(detail: str, *, record: str | None = None) -> ScimError:
    """400: the filter is malformed, names an unknown attribute, or compares what cannot be compared."""
    return ScimError(400, "invalidFilter", detail, record=record)


def too_many(detail: str) -> ScimError:
    """400: the filter asks for more work than this server does for one request."""
    return ScimError(400, "tooMany", detail)


def uniqueness(detail: str) -> ScimError:
    """409: another living resource of this system has that value."""
    return ScimError(409, "uniqueness", detail)


def mutability(detail: str) -> ScimError:
    """400: the attribute is read-only, required, or immutable and already set."""
    return ScimError(400, "mutability", detail)


def invalid_syntax(detail: str, *, record: str | None = None) -> ScimError:
    """400: the body is not what the schema describes."""
    return ScimError(400, "invalidSyntax", detail, record=record)


def invalid_path(detail: str, *, record: str | None = None) -> ScimError:
    """400: the `path` of a PATCH operation is malformed or names an unknown attribute."""
    return ScimError(400, "invalidPath", detail, record=record)


def no_target(detail: str) -> ScimError:
    """400: the `path` leads to nothing that can be changed."""
    return ScimError(400, "noTarget", detail)


def invalid_value(detail: str) -> ScimError:
    """400: a required value is missing, or a value is not of its type."""
    return ScimError(400, "invalidValue", detail)


def invalid_cursor() -> ScimError:
    """400: the cursor is none of ours, or of another list (RFC 9865 section 2.1)."""
    return ScimError(400, "invalidCursor", "The cursor is not of this list: begin again with an empty one.")


def invalid_versions(detail: str) -> ScimError:
    """400: this protocol version is not spoken here."""
    return ScimError(400, "invalidVers", detail)


def sensitive(detail: str) -> ScimError:
    """403: what was asked must not stand in a URL."""
    return ScimError(403, "sensitive", detail)


def unauthorized(detail: str = "A valid bearer token is required.") -> ScimError:
    """401 with the Bearer challenge of RFC 6750 section 3."""
    return ScimError(401, None, detail, headers={"WWW-Authenticate": 'Bearer realm="SCIM"'})


def forbidden(detail: str) -> ScimError:
    """403: the token is known and this is not its right."""
    return ScimError(403, None, detail)


def not_found(detail: str = "There is no such resource.") -> ScimError:
    """404; the same words whether it never existed, ended, or belongs to another system."""
    return ScimError(404, None, detail)


def method_not_allowed(allowed: tuple[str, ...]) -> ScimError:
    """405 with the `Allow` header of RFC 9110 section 15.5.6."""
    names = ", ".join(allowed)
    return ScimError(405, None, f"This address answers {names} only.", headers={"Allow": names})


def precondition_failed(detail: str = "The resource has changed since that version.") -> ScimError:
    """412: If-Match does not match (RFC 7644 section 3.14)."""
    return ScimError(412, None, detail)


def too_large(detail: str) -> ScimError:
    """413: over a limit; the sentence names the limit."""
    return ScimError(413, None, detail)


def unsupported_media_type(detail: str) -> ScimError:
    """415: the body is not application/scim+json or application/json in UTF-8."""
    return ScimError(415, None, detail)


def too_many_requests(*, retry_after: int) -> ScimError:
    """429; `retry_after` in whole seconds."""
    detail = f"Too many requests; try again in {retry_after} seconds."
    return ScimError(429, None, detail, headers={"Retry-After": str(retry_after)})


def internal() -> ScimError:
    """500 without any word about what broke: the log has that, under the request's cause."""
    return ScimError(500, None, "The request could not be completed. It is recorded; trying again is safe.")


def not_implemented(detail: str) -> ScimError:
    """501: RFC 7644 describes it and this server does not do it."""
    return ScimError(501, None, detail)


def out_of_service() -> ScimError:
    """503: the database is away. Nobody knows what became of the request, and repeating it is safe."""
    detail = "Out of service for a moment. Send the request again: what has taken effect already is not done twice."
    return ScimError(503, None, detail, headers={"Retry-After": str(RETRY_AFTER)})
