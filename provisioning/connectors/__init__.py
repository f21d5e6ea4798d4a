"""Floor: provisioning. Question: how is one kind of other system reached, and how is it read?

`egress` is the only door out of the product, `scim` reads one SCIM server through it. Nothing here knows a model,
a setting or a tenant: what may be reached, with which token and how patiently comes in as arguments.
"""
