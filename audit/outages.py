"""Whether the database itself is away: then nothing is wrong with what was asked, and it may be asked again.

A server that is restarted, fails over or has no connection left drops or refuses ours. Where that hits a COMMIT nobody
knows what became of it, so whoever asked is told to ask again, and nobody writes down that it failed.
"""

from django.db import Error, InterfaceError, OperationalError, connection

# Shut down by an administrator, crashed, starting up or in recovery, idle for too long, too many connections.
_AWAY = frozenset({"57P01", "57P02", "57P03", "57P05", "53300"})
_CONNECTION_EXCEPTION = "08"

# Seconds: a restart of the server is over in less than this, most of the time.
RETRY_AFTER = 5


def is_outage(error: BaseException | None) -> bool:
    """Whether this error, or one that it came from or after, says that the database is away."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Error) and _says_away(error):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _says_away(error: Error) -> bool:
    if isinstance(error, InterfaceError):
        # It says that something closed was used: an outage only where that is the connection.
        return connection.connection is None or bool(connection.connection.closed)
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    # Without a code it was libpq that spoke, or the pool: no connection, or none any more.
    return state is None or state in _AWAY or state.startswith(_CONNECTION_EXCEPTION)
