"""Where the ``aftercare`` command begins: ``triage`` starts without the rest, because it must be quick."""

import os
import sys


def main() -> None:
    """Run ``aftercare`` with the arguments of the command line."""
    if sys.argv[1:2] == ["triage"] and "--help" not in sys.argv:
        from service.commands_triage import main as triage

        try:
            sys.exit(triage(sys.argv[2:]))
        except BrokenPipeError:  # whoever reads us has seen enough: ``| head``
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
    from service.__main__ import app

    app()
