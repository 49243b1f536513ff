"""Pages of the quality-control app."""

from django.urls import URLPattern

app_name = "qc"
urlpatterns: list[URLPattern] = []
