from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "governance"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Every tracked model has its read-only records with history, registered in one place."""
        from django.contrib import admin  # noqa: PLC0415  models are not ready when this module loads

        from governance.admin import records  # noqa: PLC0415

        records.register(admin.site)
