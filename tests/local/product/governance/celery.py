"""Stands in for the product's Celery app."""

import os

from celery import Celery

app = Celery("stand-in", broker=os.environ["REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False
