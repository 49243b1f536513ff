"""``manage.py add_administrator``: the first person of a new installation."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from corelab import audit, services
from corelab.errors import Refused
from corelab.services.founding import administrator_found


class Command(BaseCommand):
    """Add the first administrator and print the link by which that person chooses a password."""

    help = "Add the first administrator; prints a link, good for 7 days, to choose a password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("email")
        parser.add_argument("name", help="as printed in signatures")

    def handle(self, *args: Any, **options: Any) -> None:
        """Add the person."""
        try:
            with audit.acting(name="system: add_administrator"):
                person = administrator_found(email=options["email"], name=options["name"])
                uid, token = services.invitation_make(actor=person, person=person)
        except Refused as error:
            raise CommandError(error.message) from None
        self.stdout.write(reverse("corelab:invitation-accept", args=[uid, token]))
