"""The models that its documentation asks for, with its indexes: names unique, SCIM's ids and user names indexed."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, UserManager
from django.db import models
from django.utils import timezone
from django_scim.models import AbstractSCIMGroupMixin, AbstractSCIMUserMixin
from simple_history.models import HistoricalRecords


class Group(AbstractSCIMGroupMixin):  # type: ignore[misc]  # the frame has no types
    """A group."""

    name = models.CharField(max_length=150, unique=True)

    history = HistoricalRecords()

    class Meta:
        app_label = "stock"

    def __str__(self) -> str:
        return str(self.name)


class User(AbstractSCIMUserMixin, AbstractBaseUser):  # type: ignore[misc]  # the frame has no types
    """A user with what the default adapter reads and writes, and no more."""

    username = models.CharField(max_length=150, unique=True)
    first_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    email = models.EmailField(blank=True)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)
    scim_groups = models.ManyToManyField(Group, related_name="user_set")

    history = HistoricalRecords()
    objects: ClassVar = UserManager()

    USERNAME_FIELD = "username"

    class Meta:
        app_label = "stock"

    def __str__(self) -> str:
        return str(self.username)
