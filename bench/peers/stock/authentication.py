"""A bearer token instead of a session, as its documentation leaves it to the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.surroundings import has_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class Known:
    """Whoever has the token. No row: history then names nobody, which costs the peer nothing."""

    is_authenticated = True
    pk = None


class Nobody(Known):
    """Anybody else."""

    is_authenticated = False


def bearer(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """The middleware."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.user = Known() if has_token(request) else Nobody()  # type: ignore[assignment]
        return get_response(request)

    return middleware
