"""Where the ``aftercare`` command begins: ``triage`` starts without the rest, because it must be quick."""

import sys


def main() -> None:
    """Run ``aftercare`` with the arguments of the command line."""
    if sys.argv[1:2] == ["triage"] and "--help" not in sys.argv:
        from service.commands_triage import main as triage

        sys.exit(triage(sys.argv[2:]))
    from service.__main__ import app

    app()
