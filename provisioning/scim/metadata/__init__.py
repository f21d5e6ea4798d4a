"""Floor `provisioning`, room `scim.metadata`: what do our SCIM resources consist of?

`schema` has the frozen shapes and the look-up of attribute paths; `users`, `groups`, `agents`, `entitlements` and `nhi`
the schemas of each family as data, with `common` and `builders` for what they share; `catalogue` the kinds of resources
made of them; `protocol` the schemas of discovery itself; `discovery` the JSON of /Schemas, /ResourceTypes and
/ServiceProviderConfig (RFC 7643 sections 5 to 8, RFC 7644 section 4).
"""
