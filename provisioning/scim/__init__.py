"""Floor `provisioning`, room `scim`: how does a directory's SCIM request become a change, and what do we answer?

The only room that knows `django_scim` and camelCase. Its wire half has no models and touches no database:

    errors       ScimError(status, scim_type, detail, *, record, headers): .body() for the sender, .record for the
                 ledger; makers invalid_filter(detail) … not_found() … too_large(detail)
    metadata     .catalogue: USER, GROUP, AGENT, APPLICATION, ROLE, ENTITLEMENT, RESOURCE_TYPES, BY_NAME, NHI_URN,
                 ENTERPRISE_URN; .discovery: schemas_json(base_url),
                 schema_json(urn, base_url), resource_types_json(base_url), resource_type_json(name, base_url),
                 service_provider_config_json(base_url, *, etag, sort, documentation_url),
                 list_response(resources, *, total, start), MAX_BODY_BYTES, MAX_PAGE; .schema: ResourceType.resolve(text)
    parsing      .body: load(raw, *, content_type) -> dict; .normal: normalise(document, resource_type, notes) ->
                 Normal(document, said, members), check_immutable(old, new, resource_type), keep_immutable(…) -> dict;
                 .change: account_change(document, *, said, resource_type) -> AccountChange,
                 group_change(document, *, said, members, member_steps) -> GroupChange,
                 catalogue_change(document, *, resource_type) -> CatalogueChange,
                 kept_document(document, resource_type); .members: read_id(text, *, at) -> UUID; .others:
                 in_our_words(document, resource_type, notes)
    dialects     RULES; coerce_resource(document, resource_type) -> (document, coercions)
    patch        .operations: read_patch(body, resource_type) -> Patch; .engine: apply(document, patch, resource_type) ->
                 PatchResult(document, said, coercions); .groups: apply_group(document, patch) ->
                 GroupPatchResult(document, said, member_steps, coercions), group_steps(operations, notes)
    filters      .grammar: parse_filter(text, resource_type, notes=None, *, beside=()) -> Node; .nodes: to_text(node); .evaluate:
                 matches(node, document) -> bool; .columns: Column, Rows, Words, Stored, key_column(lookup);
                 .query: to_q(node, mapping, *, json_field="document") -> Q
    projection   read_listings(parameters, resource_types) -> a Listing(page, projection, filter, sort) for each type,
                 read_search(body, …), read_page, read_projection, read_sort; Projection.apply(resource), .wants(name)
    cursors      cursor_after(last, *, of), read_cursor(text, *, of)

POST and PUT: `load`, `coerce_resource`, `normalise`, then the change of the family. PATCH: `load`, `read_patch`, then
`apply` on the kept document (an account's with `active` put back), or `apply_group`, then the change.
"""
