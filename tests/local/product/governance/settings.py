"""Stands in for the product's settings: Celery sets Django up when they are named."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
USE_TZ = True
