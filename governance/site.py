"""The admin site: Django's own, with our templates, our words for permission, and one tenant at a time.

It shows every record, read only, with its history. What people do with them stands on the pages of `governance.admin`.
This module is loaded before any model is, so it asks for them when it needs them.
"""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.db.models.base import ModelBase
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class RollcallSite(AdminSite):
    """The records of one tenant."""

    site_header = site_title = "Rollcall"
    index_title = gettext_lazy("Records")
    enable_nav_sidebar = False
    site_url = None

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Django's, but for models of no tenant: nothing would keep the people of other tenants out of their list."""
        asked = [model_or_iterable] if isinstance(model_or_iterable, ModelBase) else list(model_or_iterable)
        ours = [model for model in asked if not getattr(model, "global_because", None)]
        super().register(ours, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """Whoever may read the roll of the tenant in the address; outside of a tenant nobody."""
        from accounts.rules import Word  # noqa: PLC0415 - see above
        from governance.middleware import allowed  # noqa: PLC0415 - see above

        page: Any = request
        return request.user.is_active and allowed(getattr(page, "roles", frozenset()), Word.ROLL_READ)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # noqa: ARG002
        """Django sends here whoever may not. Our middleware has asked for a sign-in already: so it is a refusal."""
        from accounts.rules import Refused  # noqa: PLC0415 - see above

        raise Refused(
            _(
                "Records are read by security, auditors and administrators of this tenant. An administrator can ask for it."
            )
        )

    def logout(  # type: ignore[override]  # Django's own ends in a page, ours in a redirect
        self,
        request: HttpRequest,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponseBase:
        """Sign out as everywhere else."""
        from django.contrib.auth.views import LogoutView  # noqa: PLC0415 - see above

        return LogoutView.as_view()(request)

    def password_change(  # type: ignore[override]  # Django's own is a page, ours a redirect
        self,
        request: HttpRequest,  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Passwords are changed outside of the tenant."""
        from governance.pages import root_url  # noqa: PLC0415 - see above

        return HttpResponseRedirect(root_url("password_change"))


class RollcallAdminConfig(AdminConfig):
    """Django's admin with our site as its default."""

    default_site = "governance.site.RollcallSite"
