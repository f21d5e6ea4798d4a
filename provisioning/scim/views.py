"""The addresses of the receiver: django-scim2's views, with our methods and one transaction around each request.

A request that could change something runs so: token, one transaction with its cause, a savepoint for the effect, the
Exchange at the end, and the answer after the commit. A refusal rolls back to the savepoint and is an Exchange too. A
read opens the tenant without a cause and leaves a row in a ring.
"""

import time
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import structlog
from django.core.exceptions import SuspiciousOperation
from django.db import DataError, connection, transaction
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.request import RawPostDataException
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django_scim import views as frame

from accounts.models.system import System
from audit.crashpoints import here, point
from audit.models import Cause, CauseKind
from audit.scope import scope
from provisioning import systems
from provisioning.changes import Outcome
from provisioning.intake import Sender
from provisioning.scim import effects, recording
from provisioning.scim.answers import Answer, base_url, refusal
from provisioning.scim.authentication import Caller, authenticate, refuse_credentials, remote
from provisioning.scim.effects import Asked, Done, TryAgain, translated
from provisioning.scim.errors import (
    ScimError,
    forbidden,
    internal,
    invalid_filter,
    invalid_value,
    method_not_allowed,
    not_found,
    not_implemented,
    too_large,
)
from provisioning.scim.keeping import kept_patch, kept_resource
from provisioning.scim.listing import find
from provisioning.scim.metadata import discovery
from provisioning.scim.metadata.catalogue import GROUP, USER
from provisioning.scim.metadata.discovery import MAX_BODY_BYTES, list_response
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.body import load
from provisioning.scim.projection import Listing, read_listing, read_projection, read_search
from provisioning.scim.recording import Attempt
from provisioning.scim.resources import gather, living, rendered
from provisioning.systems import TokenMay
