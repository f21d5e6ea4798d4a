"""The alarm clock of this floor: months are made before rows need them. May run twice, at once, or not for a year."""

from datetime import UTC, datetime

import structlog
from celery import shared_task

from audit import partitions

log = structlog.get_logger("rollcall.tasks")


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def make_months() -> None:
    """Make the months that are missing of the next 24. Almost always there is nothing to do, and one look says so."""
    ahead = partitions.months_ahead(at=datetime.now(UTC))
    if all(months >= partitions.MONTHS_AHEAD - 1 for months in ahead.values()):
        return
    try:
        added = partitions.add_months()
    except partitions.Busy:
        log.warning("months_made_later", months_ahead=ahead)
        return
    log.info("months_made", made=added.made)
    if added.kept_back:
        log.warning("months_kept_in_the_default", partitions=added.kept_back)
