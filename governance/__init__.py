"""Top floor. What do people decide?

Approvals, campaigns, notices and the pages for them; and the root of the project: settings, urls, celery, wsgi.
"""

from governance.celery import app as celery_app

__all__ = ["celery_app"]
