"""Floor `provisioning`, room `scim.patch`: what is a document after a PATCH? (RFC 7644 section 3.5.2)

`path` reads the path of an operation, `operations` a PatchOp body, `engine` applies operations to a document,
`groups` turns those on members into steps, so that no member list is ever read to change one.
"""
