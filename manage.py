#!/usr/bin/env python
"""Command-line entry point."""

import json
import os
import sys
from importlib import import_module

from corelab.threads import ONE_THREAD

#: Commands on files alone: they load none of the pages, rows and jobs, which would take longer than the measurement.
OFFLINE = {"analyse", "conform"}


def main() -> None:
    """Run a management command under the settings for it unless told otherwise."""
    is_offline = bool(OFFLINE.intersection(sys.argv[1:2]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"corelab.settings.{'offline' if is_offline else 'local'}")
    from django.core.exceptions import ImproperlyConfigured

    try:
        if is_offline:
            os.environ.update(ONE_THREAD)
            import_module(f"qc.management.commands.{sys.argv[1]}").Command().run_from_argv(sys.argv)
        else:
            from django.core.management import execute_from_command_line

            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        refuse(str(error))


def refuse(detail: str) -> None:
    """Say which setting is wrong and end with status 2; `verify_audit --json` promises an object each time."""
    if sys.argv[1:2] == ["verify_audit"] and "--json" in sys.argv:
        about = {"code": "SETTING", "detail": detail, "attribute": None, "next_step": "Correct the variable."}
        sys.stdout.write(json.dumps({"rows": None, "intact": None, "first_break": None, "refused": about}) + "\n")
    else:
        sys.stderr.write(f"{detail}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
