"""What ``aftercare audit verify`` says."""

from rich.console import Console
from rich.progress import Progress

from service.audit_chain import Head, last_sealed, verify
from service.db import reading
from service.runtime import Runtime


def verify_lines(runtime: Runtime, expected: Head | None) -> tuple[str, str]:
    """Walk the chain, with progress on a terminal; returns what to say, and the fault ("" when whole)."""
    with reading(runtime.engine) as session:
        total = last_sealed(session).number
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("Verifying", total=total or None)
            found = verify(session, expected, lambda number: progress.update(task, completed=number))
    if found.fault:
        return f"Whole up to {found.head}", found.fault
    waiting = f" {found.unsealed} rows wait to be sealed." if found.unsealed else ""
    return f"The audit trail is whole.{waiting} Head: {found.head}", ""
