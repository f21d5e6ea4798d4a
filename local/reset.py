"""Start afresh: delete everything that this installation keeps."""

from __future__ import annotations

from local import servers
from local.state import State


def run(*, ask: bool) -> int:
    """Delete the state directory, after asking unless told not to; return an exit code.

    Raises `CannotRun` while Rollcall runs on it.
    """
    state = State.of_this_tree()
    if not state.path.exists():
        print(f"There is nothing to delete: {state.path} does not exist.")
        return 0
    with state.locked():
        if ask and not _confirmed(state):
            print("Nothing was deleted.")
            return 1
        servers.remove(state)
    print(f"Deleted {state.path}. `make run` starts afresh.")
    return 0


def _confirmed(state: State) -> bool:
    print(f"This deletes {state.path}: its database with all accounts and history, its keys, mail and logs.")
    print("A database that DATABASE_URL names is not touched. There is no way back.")
    try:
        return input("Type reset to go on: ").strip() == "reset"
    except EOFError:
        print()
        return False
