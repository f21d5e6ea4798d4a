"""The person or machine behind accounts in several tenants or systems."""

from typing import ClassVar

from django.db import models

from audit.history import track
from audit.keys import uuid7
from audit.models import Rights


class Identity(models.Model):
    """A link and nothing else: it carries nothing confidential of a tenant. Decisions compare people by it."""

    personal: ClassVar = ()
    rights: ClassVar = Rights.NOUN
    global_because: ClassVar = "it links accounts of several tenants, and has no attribute"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    made_at = models.DateTimeField()

    history = track()

    class Meta:
        default_permissions = ()
        verbose_name_plural = "identities"

    def __str__(self) -> str:
        return f"identity {str(self.pk)[-8:]}"
