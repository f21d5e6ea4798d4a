"""Stock django-scim2 0.23: its own adapters, its mixins on a user and a group model, django-simple-history on both."""
