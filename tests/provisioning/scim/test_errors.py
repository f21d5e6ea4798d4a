"""The error message of RFC 7644 section 3.12, and that it says nothing it should not."""

import pytest
from django_scim.exceptions import SCIMException

from provisioning.scim import errors
from provisioning.scim.errors import ScimError

pytestmark = pytest.mark.unit


def test_the_body_has_the_error_schema_and_a_status_in_quotation_marks() -> None:
    assert errors.uniqueness("userName is taken.").body() == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "409",
        "scimType": "uniqueness",
        "detail": "userName is taken.",
    }


def test_an_error_without_a_scim_type_has_no_such_member() -> None:
    assert errors.not_found().body() == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "404",
        "detail": "There is no such resource.",
    }


@pytest.mark.parametrize(
    ("error", "status", "scim_type"),
    [
        (errors.invalid_filter("x"), 400, "invalidFilter"),
        (errors.too_many("x"), 400, "tooMany"),
        (errors.uniqueness("x"), 409, "uniqueness"),
        (errors.mutability("x"), 400, "mutability"),
        (errors.invalid_syntax("x"), 400, "invalidSyntax"),
        (errors.invalid_path("x"), 400, "invalidPath"),
        (errors.no_target("x"), 400, "noTarget"),
        (errors.invalid_value("x"), 400, "invalidValue"),
        (errors.invalid_versions("x"), 400, "invalidVers"),
        (errors.sensitive("x"), 403, "sensitive"),
        (errors.unauthorized(), 401, None),
        (errors.forbidden("x"), 403, None),
        (errors.not_found(), 404, None),
        (errors.method_not_allowed(("GET",)), 405, None),
        (errors.precondition_failed(), 412, None),
        (errors.too_large("x"), 413, None),
        (errors.unsupported_media_type("x"), 415, None),
        (errors.too_many_requests(retry_after=3), 429, None),
        (errors.internal(), 500, None),
        (errors.not_implemented("x"), 501, None),
    ],
)
def test_each_refusal_has_its_status_and_scim_type(error: ScimError, status: int, scim_type: str | None) -> None:
    assert (error.status, error.scim_type) == (status, scim_type)
    assert error.body()["status"] == str(status)


def test_the_frame_knows_it_as_its_own_exception() -> None:
    error = errors.invalid_value("active must be true or false.")
    assert isinstance(error, SCIMException)
    assert error.to_dict() == error.body()


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (errors.unauthorized(), {"WWW-Authenticate": 'Bearer realm="SCIM"'}),
        (errors.method_not_allowed(("GET", "HEAD")), {"Allow": "GET, HEAD"}),
        (errors.too_many_requests(retry_after=7), {"Retry-After": "7"}),
        (errors.not_found(), {}),
    ],
)
def test_the_headers_that_belong_to_a_status_come_with_it(error: ScimError, headers: dict[str, str]) -> None:
    assert error.headers == headers


def test_a_detail_is_short_and_printable() -> None:
    detail = errors.invalid_value("a\x00b\u202ec\n" + "x" * 5000).body()["detail"]
    assert detail == "a?b?c?" + "x" * 294


def test_a_repeated_name_is_cut_and_cleaned() -> None:
    assert errors.quoted("a\u202eb") == '"a?b"'
    assert errors.quoted("n" * 100) == '"' + "n" * 59 + '…"'


def test_the_ledger_gets_the_sentence_without_the_senders_words() -> None:
    error = errors.invalid_syntax('There is no attribute "hunter2".', record="There is an unknown attribute.")
    assert error.detail == 'There is no attribute "hunter2".'
    assert error.record == "There is an unknown attribute."
    assert errors.invalid_syntax("x").record == "x"
