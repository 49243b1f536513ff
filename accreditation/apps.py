"""The accreditation app."""

from django.apps import AppConfig


class AccreditationConfig(AppConfig):
    """The workflow a site lives in."""

    name = "accreditation"
    verbose_name = "Accreditation"
