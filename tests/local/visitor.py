"""Somebody with a browser: follows forms as they are, with their hidden fields, and knows nothing else of the product."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from types import TracebackType

_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


class Visitor:
    """One browser with its cookies."""

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def get(self, path: str) -> httpx.Response:
        """A page, wherever redirects lead to."""
        return self.http.get(path, follow_redirects=True)

    def send(self, path: str, *, to: str = "", **fields: str) -> httpx.Response:
        """Open the page, fill in its form and send it, to another address where a button says so. No redirect."""
        page = self.get(path)
        assert page.status_code == 200, (path, page.status_code, page.text[:2000])
        hidden = dict(_HIDDEN.findall(page.text))
        return self.http.post(to or path, data=hidden | fields)

    def sign_in(self, username: str, password: str) -> bool:
        """Say whether name and password open the door."""
        return self.send("/login/", username=username, password=password).status_code == 302

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Everything that a list of the API holds, page by page."""
        found: list[dict[str, Any]] = []
        following: str | None = path
        while following:
            answer = self.http.get(following)
            assert answer.status_code == 200, (following, answer.status_code, answer.text[:2000])
            found += answer.json()["results"]
            following = answer.json()["next"]
        return found
