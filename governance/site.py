"""The admin site: Django's own, with our templates, our words for permission, and one tenant at a time."""

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig


class RollcallSite(AdminSite):
    """The admin of one tenant."""

    site_header = site_title = "Rollcall"
    enable_nav_sidebar = False


class RollcallAdminConfig(AdminConfig):
    """Django's admin with our site as its default."""

    default_site = "governance.site.RollcallSite"
