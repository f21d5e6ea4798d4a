"""What most tests of this floor begin with: a clock, a system, people, a directory that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from audit.scope import scope
from tests.conftest import a_cause
from tests.factories import governance as make
from tests.factories.permits import security
from tests.factories.plans import a_member
from tests.fakes.directories import FakeDirectory, serving

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator

    from accounts.models import Account, System, Tenant, User
    from audit.models import Cause


@pytest.fixture
def now() -> dt.datetime:
    """The database's clock is compared with: these tests happen now."""
    return make.now()


@pytest.fixture
def system(tenant: Tenant, because: Cause, now: dt.datetime) -> System:
    """Okta, which nobody reads."""
    return make.a_system(tenant, at=now)


@pytest.fixture
def person(system: System, now: dt.datetime) -> Account:
    """Ada, an active member of the system."""
    return a_member(system, "ada", now)


@pytest.fixture
def people(tenant: Tenant, because: Cause, now: dt.datetime) -> list[User]:
    """Two who may approve."""
    return [security(make.a_person(tenant, name, at=now), at=now) for name in ("sam", "sue")]


@pytest.fixture
def directory() -> Iterator[FakeDirectory]:
    """A SCIM server that is empty, and does what it is told."""
    with serving() as one:
        yield one


@pytest.fixture
def acting(tenant: Tenant) -> Callable[..., Any]:
    """Opens a scope of the tenant with a cause of its own."""
    return lambda **more: scope(tenant=tenant.pk, cause=a_cause(**more))
