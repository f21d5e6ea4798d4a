import pytest
from tests.factories.scim import *
pytestmark = pytest.mark.face

def test_x(tenant, settings):
    from django.urls import include, path
    settings.ROOT_URLCONF = (path("scim/v2/", include("provisioning.scim.urls")),)
    idp = connect(tenant)
    print(idp.get("/ServiceProviderConfig"))
    u = idp.user()
    r = idp.get(f"/Users/{u}"); print(r, r.headers)
    g = idp.group("Staff", u)
    print(idp.get(f"/Groups/{g}").body)
    print(idp.get(f"/Users/{u}").body)
    print(idp.get("/Users?filter=userName eq \"ADA@example.com\"".replace(" ", "%20")).body)
    print(idp.patch(f"/Users/{u}", {"op":"Replace","path":"active","value":"False"}).body)
    print(idp.patch(f"/Users/{u}", {"op":"Replace","path":"active","value":"True"}).body)
    print(idp.delete(f"/Users/{u}"), idp.get(f"/Users/{u}"))
    print(idp.post("/Users", a_user()).body)
    print(idp.post("/Users", a_user()).body)
    for e in idp.exchanges(): print({k:v for k,v in e.__dict__.items() if k!="_state"})
    print(idp.get("/Me"), idp.get("/nope"), idp.call("OPTIONS","/Users"), idp.post("/Bulk", {}))
