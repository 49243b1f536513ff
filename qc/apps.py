"""The quality-control app."""

from django.apps import AppConfig


class QcConfig(AppConfig):
    """Submissions, runs, reviews, reports."""

    name = "qc"
    verbose_name = "Quality control"

    def ready(self) -> None:
        """Put this package's rows and panels on the pages of the core app."""
        from qc import panels

        panels.register()
