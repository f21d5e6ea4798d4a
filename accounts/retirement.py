"""Accounts that ended go into the archive: read only, for good. The database refuses any way back."""

from datetime import datetime

from accounts.models.account import Account, AccountState


class NotEnded(ValueError):
    """Only what has ended can be archived."""


def retire(*, account: Account, at: datetime) -> bool:
    """Archive an account that has ended. Returns whether it was not yet. Raises `NotEnded`."""
    found = Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account.pk)
    if found.state == AccountState.ARCHIVED:
        return False
    if found.state != AccountState.DEPROVISIONED:
        raise NotEnded(f"the account is {found.get_state_display()}: only what has ended is archived")
    found.state, found.state_since = AccountState.ARCHIVED, at
    found.save(update_fields=["state", "state_since"])
    account.state, account.state_since = found.state, found.state_since
    return True
