"""The product's web process without its ledger: for `bench.ledger` alone, which asks what the ledger costs.

The effect stays as it is, with its transaction, its cause, its history and its entry in the journal. Left out is what is
done for the ledger's sake: what is kept of the request and of the answer, the digest, the key of the bodies and their
encryption, the row, and looking for what a request repeats.
"""

from __future__ import annotations

from typing import Any

from governance.wsgi import application
from provisioning.scim import recording, views

__all__ = ["application"]


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    return None


def _no_digest(*_args: Any) -> str:
    return ""


for _owner, _name, _instead in (
    (recording, "insert", _nothing),
    (recording, "last_accepted", _nothing),
    (recording.Attempt, "digested", _no_digest),
    (views, "kept_patch", _nothing),
    (views, "kept_resource", _nothing),
):
    if not hasattr(_owner, _name):  # it has another name by now, and the bench would measure nothing
        raise RuntimeError(f"the ledger has no {_name} any more: bench.unledgered must be told what it is called")
    setattr(_owner, _name, _instead)
