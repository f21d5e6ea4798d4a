"""The one frame that every face and every slice of a task runs in: one transaction, one tenant, one cause."""

from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from audit.cause import acting, reading
from audit.models import Cause


def scope(
    *, tenant: UUID | None = None, cause: Cause | None = None, steady: bool = False
) -> AbstractContextManager[Any]:
    """A transaction that sees `tenant` and writes because of `cause`.

    No cause means reading, `steady` where it goes on for long and must see one moment; no tenant means the global
    tables only. With a cause, its tenant is `tenant`.
    """
    if cause is None:
        return reading(tenant, steady=steady)
    cause.tenant_id = tenant
    return acting(cause)
