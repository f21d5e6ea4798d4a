"""Settings of the smallest project that its documentation describes: Django's own users and groups."""

from __future__ import annotations

from bench.peers import surroundings

SECRET_KEY = surroundings.SECRET_KEY
ALLOWED_HOSTS = surroundings.ALLOWED_HOSTS
DATABASES = surroundings.databases()
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_scim2_server"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "bench.peers.another.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 17 * 1024 * 1024
USE_TZ = True
SCIM2_SERVER_AUTH_CHECK = "bench.peers.surroundings.has_token"
