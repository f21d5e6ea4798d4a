"""Nouns of the second floor, a module each. Imported here so that Django finds them; use the modules."""

from provisioning.models.authority import FieldAuthority
from provisioning.models.connection import Connection, ReadRecord, RefusedToken, SystemToken
from provisioning.models.cursor import Cursor, FeedEvent, Listening
from provisioning.models.erasure import Archive, Erasure
from provisioning.models.exchange import BodyKey, Exchange, ExchangeKey
from provisioning.models.plan import Plan, PlannedChange
from provisioning.models.readback import Readback
from provisioning.models.rebuild import Rebuild, Rebuilt, RebuiltMember
from provisioning.models.received import Received
from provisioning.models.replay import Replay
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow, ShadowCount
from provisioning.models.snapshot import Snapshot, SnapshotProof, StagedMember, StagedResource
from provisioning.models.upload import Upload, UploadPiece

__all__ = [
    "Archive",
    "BodyKey",
    "Connection",
    "Cursor",
    "Erasure",
    "Exchange",
    "ExchangeKey",
    "FeedEvent",
    "FieldAuthority",
    "Listening",
    "Plan",
    "PlannedChange",
    "ReadRecord",
    "Readback",
    "Rebuild",
    "Rebuilt",
    "RebuiltMember",
    "Received",
    "RefusedToken",
    "Replay",
    "Run",
    "Shadow",
    "ShadowCount",
    "Snapshot",
    "SnapshotProof",
    "StagedMember",
    "StagedResource",
    "SystemToken",
    "Upload",
    "UploadPiece",
]
