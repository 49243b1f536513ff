"""The quality-control app."""

from django.apps import AppConfig


class QcConfig(AppConfig):
    """Submissions, runs, reviews, reports."""

    name = "qc"
    verbose_name = "Quality control"
    default = True

    def ready(self) -> None:
        """Put this package's rows and panels on the pages of the core app, and listen to changes of its register."""
        from corelab.signals import scanner_edited
        from qc import panels
        from qc.services.drifts import drift_note_edit

        panels.register()
        scanner_edited.connect(drift_note_edit, dispatch_uid="qc.drifts")


class OfflineConfig(AppConfig):
    """The commands on files alone, without rows and pages."""

    name = "qc"

    def import_models(self) -> None:
        """Load no rows: these commands reach no database."""
        self.models = {}
