"""django-scim2-server 1.1: another Django package, by other authors, on scim2-models; no history, no cursors."""
