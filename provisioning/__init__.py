"""Floor `provisioning`: what do other systems say, and what do we say to them?

SCIM, feeds, snapshots, reconciliation, plans and the outbox live here. Imports run downwards only: this floor knows
`accounts` and `audit`, and never `governance`.
"""
