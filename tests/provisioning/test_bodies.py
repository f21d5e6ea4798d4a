"""What is kept of a request and of its answer is opened in one place."""

import pytest

from audit.scope import scope
from provisioning import bodies
from tests.factories.scim import a_user, connect

pytestmark = pytest.mark.django_db


def test_the_request_and_the_answer_of_an_exchange_are_opened_as_they_were_kept(tenant):
    idp = connect(tenant)
    user = idp.user("ada@example.com", title="Ops")
    with scope(tenant=tenant.pk):
        found = bodies.opened(idp.last())
    assert found.request == a_user("ada@example.com", title="Ops")
    assert (found.answer["id"], found.answer["title"]) == (user, "Ops")


def test_what_has_no_body_opens_as_nothing(tenant):
    idp = connect(tenant)
    idp.delete(f"/Users/{idp.user()}")
    assert bodies.opened(idp.last()) == bodies.Bodies(request=None, answer=None)
