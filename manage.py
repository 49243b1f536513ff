#!/usr/bin/env python
"""Command-line entry point."""

import os
import sys

#: Commands on files alone: they load none of the pages, rows and jobs, which would take longer than the measurement.
OFFLINE = {"analyse", "conform"}


def main() -> None:
    """Run a management command under the settings for it unless told otherwise."""
    settings = "offline" if OFFLINE.intersection(sys.argv[1:2]) else "local"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"corelab.settings.{settings}")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
