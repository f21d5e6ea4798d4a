"""Which connector reads a connection: the one place that knows, so that every other knows the contract alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from provisioning import connections, shelves
from provisioning.connectors.contract import Reader
from provisioning.connectors.files import FileReader
from provisioning.connectors.scim import Directory
from provisioning.connectors.scim_reader import ScimReader
from provisioning.models.connection import Connection, Connector

# Those that answer for one resource as it is now; a file can't be asked about what came after it.
ASKABLE = (Connector.SCIM,)


class NotReadable(LookupError):
    """Nothing reads this connection."""


@contextmanager
def opened(connection: Connection, *, max_wait_seconds: float) -> Iterator[Reader]:
    """A reader of the system, closed at the end. Waits for the network: never open it in a transaction.

    A server that says that it is busy is waited for at most `max_wait_seconds`. Raises an `EgressError` where the system
    can't be reached, and `connections.SecretUnreadable`.
    """
    match Connector(connection.connector):
        case Connector.SCIM:
            with connections.reader(connection) as client:
                yield ScimReader(Directory(client, max_wait_seconds=max_wait_seconds))
        case Connector.FILE:
            yield FileReader(shelves.Shelf(connection))
        case Connector.NONE:
            raise NotReadable(f"{connection.system_id} is not connected")
