"""Pages of the core app."""

from django.urls import URLPattern

app_name = "corelab"
urlpatterns: list[URLPattern] = []
