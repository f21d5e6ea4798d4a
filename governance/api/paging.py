"""Pages of a list by key: each row once, whatever is added meanwhile, and no query for a total."""

from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class ByKey(CursorPagination):
    """By the time-ordered key, newest first. `?page_size=` up to 500; `next` and `previous` are whole addresses."""

    ordering = "-pk"
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 500

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Where a page begins. A cursor that we never made is a 404, as for any page that there is not."""
        cursor: Cursor | None = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            try:
                UUID(str(cursor.position))
            except ValueError as error:
                raise NotFound(
                    _("This cursor is not one of ours: follow `next` and `previous` as they are.")
                ) from error
        return cursor
