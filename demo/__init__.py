"""The fictional company Halyard and its identity providers: what does a newcomer's roll look like on real input?

Beside the floors, below nothing and above nothing: this package imports none of them and speaks HTTP only.
`governance/management/commands/demo.py` calls it in this order; every step may be repeated and changes nothing then.

    demo.company.build_company(*, now: datetime) -> Company                            (nouns in demo.nouns, all frozen)
        Deterministic apart from the expiry dates, which are relative to `now` (aware).
        .tenants: tuple[TenantSpec, ...]    slug, title, time_zone                     ("halyard", "halyard-labs")
        .directories: tuple[DirectorySpec, ...]  slug ("workforce" | "cloud" | "labs" | "crm"), name, tenant, title,
                                         base_path ("/workforce/v2"), people, machines, groups, canary (a user name)
        .people / .machines              everybody once; `Machine.owner` and `Person.manager` are a Person.key or None
        .logins: tuple[Login, ...]       role ("security", "second security", "owner", "auditor", "administrator"),
                                         person (key), user_name; all in Workforce
        .asked_back                      the user names that ask_back() is about
        .protected: frozenset[str]       user names that lose() never touches
        .person(key) -> Person, .directory(slug) -> DirectorySpec

    demo.directory.write_tokens(*, data: Path, slugs: Iterable[str]) -> dict[str, str]
        Random bearer tokens in DIR/tokens.json (0600); those already there are kept. The directory waits for the file.
    python -m demo.directory --port P --data DIR [--host 127.0.0.1] [--wait 60]
        Serves http://127.0.0.1:P/<slug>/v2 for each token, and /healthz. Contents in DIR/<slug>.ndjson.

    demo.client.Endpoint(slug: str, base_url: str, token: str)                         one SCIM base URL with its token
    demo.push.directory_endpoints(*, company, origin: str, tokens: Mapping[str, str]) -> dict[str, Endpoint]
        `origin` is "http://127.0.0.1:P".
    demo.push.fill(*, company, directories: Mapping[str, Endpoint], progress=print) -> None
    demo.push.push(*, company, directories, targets: Mapping[str, Endpoint], data: Path, progress=print)
            -> tuple[WantedOwner, ...]
        `targets`: per slug Rollcall's SCIM base URL with that system's token. Provisions Rollcall from the directories.
        WantedOwner: system, machine (user name), owner_system, owner (user name), is_offered (already offered over SCIM
        in the NHI extension; the others are the caller's to offer), leaves (the owner is about to leave). Machines that
        nobody owns are not listed. demo.push.wanted_owners(company) gives the same without pushing.
    ... the caller arranges and accepts the ownerships here ...
    demo.story.leave(*, company, directories, targets, data, progress=print) -> tuple[Asked, ...]
        Two people of "cloud" are ended in the directory and in Rollcall; they own three machines.
    demo.story.ask_back(*, company, directories, targets, data, progress=print) -> tuple[Asked, ...]
        Two people and `svc-restore` of "cloud" are ended, then asked for again (`active: true`).
        Asked: system, user_name, is_active (as Rollcall answered at the end).
    demo.story.lose(*, company, directories, data, progress=print) -> Lost
        In the directories only, never pushed. Lost.deactivations: (system, user_name, directory_id); Lost.memberships:
        (system, group, user_name, change "removed" | "added", group_id, directory_id). Also in DIR/lost.json.
    demo.story.planned_losses(company) -> frozenset[tuple[str, str]]
        (system, user name) of everybody whom lose() is about, to leave them alone before.
    demo.story.begin_outage(*, data: Path) -> None
        "crm" answers 503 from its second page on (20 per page), at once. Only after push(), which reads it itself.

Errors: demo.client.ScimError (quotes method, address, status and body), demo.files.BadFileError (names the file).
"""
