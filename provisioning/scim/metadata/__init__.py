"""Floor `provisioning`, room `scim.metadata`: what do our SCIM resources consist of?

`schema` has the frozen shapes and the look-up of attribute paths, `catalogue` the schemas as data, `discovery` the
JSON of /Schemas, /ResourceTypes and /ServiceProviderConfig (RFC 7643 sections 5 to 8, RFC 7644 section 4).
"""
