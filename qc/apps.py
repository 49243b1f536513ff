"""The quality-control app."""

from django.apps import AppConfig


class QcConfig(AppConfig):
    """Submissions, runs, reviews, reports."""

    name = "qc"
    verbose_name = "Quality control"
