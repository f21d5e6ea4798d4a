"""System checks of the ground floor: every model is tracked or says why not, and says what may be done with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from audit.guards import tenant_field
from audit.layouts import CantSeal, layout_of, sealed_models
from audit.models import is_history, tracked

FLOORS = ("audit", "accounts", "provisioning", "governance")


def _complaints(model: type[Any]) -> Iterator[CheckMessage]:
    if not tracked(model) and not getattr(model, "untracked", None):
        yield Error(
            f"{model.__name__} is not tracked",
            hint="add `history = track()`, or `untracked = 'the reason'`",
            obj=model,
            id="audit.E001",
        )
    if getattr(model, "rights", None) is None:
        yield Error(
            f"{model.__name__} does not say what the application may do with it",
            hint="add `rights = Rights.NOUN`, EVIDENCE, BOUNDED or READ",
            obj=model,
            id="audit.E002",
        )
    if tenant_field(model) is None and not getattr(model, "global_because", None):
        yield Error(
            f"{model.__name__} belongs to no tenant",
            hint="inherit TenantOwned, or say `global_because = 'the reason'`",
            obj=model,
            id="audit.E003",
        )
    if _is_silent_about_people(model):
        yield Error(
            f"{model.__name__} does not say which of its columns are personal",
            hint="add `personal = (...)`, the names of its fields that can tell of a person; `()` if none can",
            obj=model,
            id="audit.E005",
        )
    if len(model._meta.parents) > 0 and not model._meta.proxy:
        yield Error(f"{model.__name__} inherits a table: history would miss half of it", obj=model, id="audit.E004")


def _is_silent_about_people(model: type[Any]) -> bool:
    return (tracked(model) or model in sealed_models()) and not hasattr(model, "personal")


def _cant_seal(model: type[models.Model]) -> Iterator[CheckMessage]:
    try:
        layout_of(model)
    except (CantSeal, FieldDoesNotExist) as error:
        yield Error(f"{model.__name__} can't be sealed: {error}", obj=model, id="audit.E006")


@register("models")
def every_model_is_tracked_or_excused(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E001 to E006 for every model of the four floors."""
    configs = app_configs if app_configs is not None else list(apps.get_app_configs())
    found: list[CheckMessage] = []
    for config in configs:
        if config.name in FLOORS:
            for model in config.get_models():
                if not is_history(model):
                    found.extend(_complaints(model))
                if model in sealed_models():
                    found.extend(_cant_seal(model))
    return found
