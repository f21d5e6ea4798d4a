"""Read-only records with their history, in django-simple-history's pages."""

from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin


class ReadOnlyHistory(SimpleHistoryAdmin):
    """Facts and history. Governed nouns change through their verbs alone, so that every change has its reason."""

    actions = None
    history_list_per_page = 50

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django's list. A NUL, which no text of the database can have, is the asker's error and not ours."""
        if any("\x00" in value for _, values in request.GET.lists() for value in values):
            raise BadRequest("the address has a NUL character")
        answer: HttpResponse = super().changelist_view(request, extra_context)
        return answer

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django's signature
        """Nothing is added here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002  Django's signature
        """Nothing is changed here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002  Django's signature
        """Nothing is deleted anywhere."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002  Django's signature
        """Whoever the site lets in."""
        return bool(self.admin_site.has_permission(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whoever the site lets in."""
        return bool(self.admin_site.has_permission(request))
