"""What came in, as far as every address asks for it: the body, the parameters, the id that the address names."""

from typing import Any
from uuid import UUID

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, UnreadablePostError

from provisioning.scim.errors import invalid_value
from provisioning.scim.metadata.discovery import MAX_BODY_BYTES


def body_of(request: HttpRequest) -> bytes:
    """The body as it came, also where its length is said chunk by chunk (RFC 9112 section 7.1), which Django ignores.

    Raises what reading it raises: `SuspiciousOperation` for one that is too large, `UnreadablePostError`.
    """
    environ: dict[str, Any] = getattr(request, "environ", {})
    if (
        not environ.get("wsgi.input_terminated")
        or "CONTENT_LENGTH" in environ
        or "HTTP_TRANSFER_ENCODING" not in environ
    ):
        return request.body
    try:
        raw: bytes = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    except Exception as error:  # each server has errors of its own for a chunk that is none
        raise UnreadablePostError(*error.args) from error
    return raw


def size_of(request: HttpRequest) -> int:
    """How long the body is, as its sender says."""
    length = str(request.META.get("CONTENT_LENGTH") or "")
    return min(int(length), 2**31 - 1) if length.isdecimal() else 0


def path_id(text: str | None) -> UUID | None:
    """The resource id in an address, if it is one as we write them."""
    try:
        found = UUID(text or "")
    except ValueError:
        return None
    return found if str(found) == text else None


def parameters(request: HttpRequest) -> dict[str, list[str]]:
    """The query, each parameter with its values. Raises invalidValue for what nobody can mean."""
    try:
        found = {name: [str(value) for value in values] for name, values in request.GET.lists()}
    except SuspiciousOperation:
        raise invalid_value("The address has too many parameters.") from None
    if any("\x00" in text for name, values in found.items() for text in (name, *values)):
        raise invalid_value("A parameter has a NUL character.")
    return found


def asked_for(query: dict[str, list[str]]) -> str:
    """What a read made use of, in words that are kept: whether, never which."""
    names = {name.lower() for name in query}
    used = {
        "filter": "filter" in names,
        "paging": "cursor" in names or any(_lies_ahead(query, name) for name in query if name.lower() == "startindex"),
        "projection": bool(names & {"attributes", "excludedattributes"}),
    }
    return ", ".join(word for word, is_used in used.items() if is_used)


def _lies_ahead(query: dict[str, list[str]], name: str) -> bool:
    return any(text.isdecimal() and int(text[:9]) > 1 for text in query[name])
