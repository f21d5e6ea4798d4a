from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def _repeat_guards(*, using: str, **_: Any) -> None:
    from audit import guards  # noqa: PLC0415  models are not ready when this module loads

    guards.install(using=using)


class AuditConfig(AppConfig):
    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audit import checks  # noqa: F401, PLC0415  registers the system checks

        # Once per migrate: the signal comes for each app, after the last table is there.
        post_migrate.connect(_repeat_guards, sender=self, dispatch_uid="rollcall.guards")
