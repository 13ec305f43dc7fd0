"""What a test need not pay for: slow password hashes, an event loop for every request, and, in a run that
somebody waits for, more random examples than have found faults."""

import os
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from service import passwords, sign_ins

SERVICE_HASHER = passwords.hasher  # what the service itself uses; test_passwords.py holds how strong it is


def examples(few: int) -> int:
    """How many random examples: ``few``, or TEST_EXAMPLES times as many for a night's run."""
    return few * int(os.environ.get("TEST_EXAMPLES", "1"))


def spare_passwords() -> None:
    """Once per process: hashes of the same kind that cost next to nothing."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    passwords.hasher = sign_ins.hasher = quick
    passwords._NOBODY = quick.hash("nobody has this password")


@pytest.fixture(scope="session", autouse=True)
def one_event_loop() -> Iterator[None]:
    """Requests of tests run on one loop, as those of a server do; a client that is entered has its own."""
    with start_blocking_portal() as portal:
        TestClient.portal = portal
        yield
    TestClient.portal = None
