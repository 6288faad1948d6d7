"""The app."""

from django.apps import AppConfig


class Shop(AppConfig):
    name = "tests._shop"
    label = "shop"
