"""Addresses of the owner's pages, below /t/<tenant>/my/."""

from django.urls import URLPattern, URLResolver, path

from governance.portal import my

urlpatterns: list[URLPattern | URLResolver] = [
    path("", my.my, name="my"),
    path("offers/<uuid:pk>/accept/", my.accept, name="offer-accept"),
    path("offers/<uuid:pk>/decline/", my.decline, name="offer-decline"),
    path("reviews/<uuid:pk>/", my.review, name="review"),
    path("reviews/<uuid:pk>/keep/", my.certify, name="review-keep"),
    path("reviews/<uuid:pk>/end/", my.revoke, name="review-end"),
]
