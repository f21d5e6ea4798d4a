"""Every tracked model read-only in Django's admin, with simple-history's pages: full history as the audit trail."""

from django.apps import apps
from django.contrib import admin

from audit.admin import ReadOnlyHistory
from audit.models import is_history, tracked

FLOORS = ("accounts", "provisioning", "governance")
# What has pages of its own for the living; here are their records.
_HIDDEN = frozenset({"password", "digest", "secret", "token_hash"})


def register(site: admin.AdminSite) -> None:
    """Register every tracked model of the floors, once."""
    for floor in FLOORS:
        for model in apps.get_app_config(floor).get_models():
            if is_history(model) or not tracked(model) or site.is_registered(model):
                continue
            names = [f.name for f in model._meta.fields if f.name not in _HIDDEN]
            shown = [n for n in ("user_name", "display_name", "name", "title", "kind", "state") if n in names][:4]
            attributes = {
                "fields": names,
                "readonly_fields": names,
                "list_display": ["__str__", *shown],
                "list_select_related": [
                    f.name for f in model._meta.fields if f.is_relation and f.name != "tenant" and not f.null
                ],
                "show_full_result_count": False,
            }
            site.register(model, type(f"{model.__name__}Records", (ReadOnlyHistory,), attributes))
