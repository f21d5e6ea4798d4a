"""Full history of every model, in django-simple-history's tables and pages, written by the database.

simple-history's own signals miss every set-based write. Here its signals are silent, and one generic trigger
function writes one row for each row that really changed, whoever wrote it: ORM, bulk, upsert, COPY or a shell.
"""

from typing import Any

from django.db import models
from simple_history.models import HistoricalRecords

from audit.models import Caused


class TriggeredRecords(HistoricalRecords):
    """simple-history's tables, managers and pages without its signal handlers: `audit_track()` writes the rows."""

    def post_save(self, instance: models.Model, created: bool, using: str | None = None, **kwargs: Any) -> None:  # noqa: FBT001  the library's signature
        """The trigger has written the row."""

    def post_delete(self, instance: models.Model, using: str | None = None, **kwargs: Any) -> None:
        """The trigger has written the row."""

    def pre_delete(self, instance: models.Model, **kwargs: Any) -> None:
        """The trigger has written the row."""


def track(*, excluded_fields: tuple[str, ...] = ()) -> Any:
    """`history = track()` on a model. `excluded_fields` are for secrets only, such as a password's hash."""
    return TriggeredRecords(
        bases=[Caused],
        history_id_field=models.BigAutoField(),
        user_db_constraint=False,
        excluded_fields=list(excluded_fields),
    )
