"""The core app."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def start_audit_chain(*, using: str, **kwargs: Any) -> None:
    """Make the one row that says where the audit chain ends."""
    from corelab.models import AuditHead

    AuditHead.objects.using(using).get_or_create(pk=1)


class CorelabConfig(AppConfig):
    """People, register, audit, storage, jobs, shared pages."""

    name = "corelab"
    verbose_name = "Core lab"

    def ready(self) -> None:
        """Start the audit chain once the tables are there."""
        post_migrate.connect(start_audit_chain, sender=self)
