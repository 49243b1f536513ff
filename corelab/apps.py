"""The core app."""

from django.apps import AppConfig


class CorelabConfig(AppConfig):
    """People, register, audit, storage, jobs, shared pages."""

    name = "corelab"
    verbose_name = "Core lab"
