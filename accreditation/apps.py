"""The accreditation app."""

from django.apps import AppConfig


class AccreditationConfig(AppConfig):
    """The workflow a site lives in."""

    name = "accreditation"
    verbose_name = "Accreditation"

    def ready(self) -> None:
        """Listen to what is told from below, fill places on pages below, and let lost work be found."""
        from accreditation import handlers, panels
        from accreditation.models import Certificate
        from accreditation.services.certificates import JOB, nothing_more
        from corelab import jobs

        handlers.connect()
        panels.register()
        jobs.keep_swept(Certificate, JOB, "certificate_id", nothing_more)
