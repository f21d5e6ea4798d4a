"""Floor `provisioning`, room `scim.filters`: which resources does a SCIM filter mean? (RFC 7644 section 3.4.2.2)

`grammar` turns a text into frozen `nodes` that are already checked against the schema (`lexer`, `checks`),
`evaluate` decides in memory, `query` builds a Django `Q`: in `columns`, for what has a place of its own, or in `stored`,
for what stands only in the document.
"""
