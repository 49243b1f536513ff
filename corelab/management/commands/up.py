"""``manage.py up``: the whole product in one process tree."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from corelab.embedded import Stack
from corelab.errors import Misconfigured


class Command(BaseCommand):
    """Start broker, worker, beat and web, watch them, and end them together."""

    help = "Start the whole product here: broker, worker, beat and web. Ctrl-C ends it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000, help="a free one is chosen when it is taken")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until Ctrl-C."""
        try:
            with Stack(host=options["host"], port=options["port"], say=self.stdout.write) as stack:
                self.stdout.write(f"Serving at {stack.url} . Ctrl-C ends it.")
                self.stdout.flush()
                stack.watch()
        except Misconfigured as error:
            raise CommandError(error.message) from None
        except KeyboardInterrupt:
            self.stdout.write("Ended.")
