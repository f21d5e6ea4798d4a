"""A connection that asks too fast is told so, in SCIM, and slows nobody else down."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from redis.client import Pipeline
from redis.exceptions import ConnectionError as NoRedis

from audit.scope import scope
from provisioning.models.connection import ReadRecord
from provisioning.scim import pace
from provisioning.scim.bulk_request import BULK_REQUEST_URN
from tests.factories.scim import a_user

if TYPE_CHECKING:
    from typing import Any

    from tests.factories.scim import Idp

NOW = dt.datetime(2026, 11, 1, 12, 0, 3, tzinfo=dt.UTC)


@pytest.mark.unit
def test_requests_are_counted_for_each_system_and_ten_seconds(settings: Any) -> None:
    settings.ROLLCALL_SCIM_PACE = 1
    one, other = uuid4(), uuid4()
    assert [pace.requests_over(one, at=NOW) for _ in range(12)] == [0] * 10 + [1, 2]
    assert pace.requests_over(other, at=NOW) == 0
    assert pace.requests_over(one, at=NOW + dt.timedelta(seconds=7)) == 0
    assert pace.too_fast(at=NOW).headers == {"Retry-After": "7"}


@pytest.mark.unit
def test_without_the_cache_nothing_is_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROLLCALL_SCIM_PACE = 1

    def down(*_args: Any, **_kwargs: Any) -> None:
        raise NoRedis

    monkeypatch.setattr(Pipeline, "execute", down)
    assert [pace.requests_over(uuid4(), at=NOW) for _ in range(20)] == [0] * 20


@pytest.mark.face
def test_too_many_requests_are_answered_429_change_nothing_and_leave_one_row(
    idp: Idp, other: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = iter(range(5))
    monkeypatch.setattr("provisioning.scim.receiving.requests_over", lambda _system, *, at: next(over))
    assert idp.post("/Users", a_user("ada")).status == 201
    for _ in range(3):
        refused = idp.post("/Users", a_user("eva"))
        assert refused.status == 429
        assert refused["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert 1 <= int(refused.headers["Retry-After"]) <= 10
    monkeypatch.undo()
    assert idp.get("/Users")["totalResults"] == 1
    assert len(idp.exchanges()) == 1
    with scope(tenant=idp.tenant.pk):
        rows = list(ReadRecord.objects.filter(status=429).values_list("method", "path", "note"))
    assert rows == [("POST", "/Users", "too many requests")]
    assert other.get("/Users").status == 200


@pytest.mark.face
def test_the_operations_of_a_bulk_request_count_as_one(idp: Idp, settings: Any) -> None:
    settings.ROLLCALL_SCIM_PACE = 1
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": f"u{number}", "data": a_user(f"u{number}")}
        for number in range(15)
    ]
    answer = idp.post("/Bulk", {"schemas": [BULK_REQUEST_URN], "Operations": operations})
    assert {one["status"] for one in answer["Operations"]} == {"201"}
