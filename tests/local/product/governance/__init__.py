"""Stands in for the product."""

from governance.celery import app

__all__ = ["app"]
