"""The alarm clock. Rows are the queue: every task looks for due rows, and may run twice or not at all."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")

app = Celery("rollcall")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["audit", "accounts", "provisioning", "governance"])
