"""Settings of the smallest project that its documentation describes."""

from __future__ import annotations

from bench.peers import surroundings

SECRET_KEY = surroundings.SECRET_KEY
ALLOWED_HOSTS = surroundings.ALLOWED_HOSTS
DATABASES = surroundings.databases()
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "simple_history",
    "django_scim",
    "bench.peers.stock",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "bench.peers.stock.authentication.bearer",
]
AUTH_USER_MODEL = "stock.User"
ROOT_URLCONF = "bench.peers.stock.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 17 * 1024 * 1024
USE_TZ = True
SCIM_SERVICE_PROVIDER = {
    "NETLOC": surroundings.NETLOC,
    "SCHEME": "http",
    "GROUP_MODEL": "bench.peers.stock.models.Group",
    "AUTHENTICATION_SCHEMES": [
        {"type": "oauthbearertoken", "name": "Bearer", "description": "The bench's token", "primary": True},
    ],
}
