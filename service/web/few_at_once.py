"""How many passwords are checked at once: each costs memory and a tenth of a second on purpose.

A flood of sign-ins would otherwise hold every thread of the process, and a red flag from a patient would wait
behind it. Whoever finds no turn waits in the event loop; when too many wait, they are told to come again.
"""

from asyncio import AbstractEventLoop, Semaphore, get_running_loop
from collections.abc import AsyncIterator
from typing import Annotated
from weakref import WeakKeyDictionary

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import FormData

from service.web.doors import posted

AT_ONCE = 4
MOST_WAITING = 200


class Turns:
    """The turns of one process; one set for each event loop. ``waiting`` counts those in the queue."""

    def __init__(self) -> None:
        self._free: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()
        self.waiting = 0

    def here(self) -> Semaphore:
        loop = get_running_loop()
        if loop not in self._free:
            self._free[loop] = Semaphore(AT_ONCE)
        return self._free[loop]


async def password_turn(request: Request, _form: Annotated[FormData, Depends(posted)]) -> AsyncIterator[None]:
    """Dependency of every address where somebody without a session makes us check a password.

    The form is read before: whoever sends it slowly must not sit on a turn.
    """
    turns: Turns = request.app.state.password_turns
    if turns.waiting >= MOST_WAITING:
        raise HTTPException(503, "Too many people sign in at once. Try again in a moment.")
    turns.waiting += 1
    try:
        await turns.here().acquire()
    finally:
        turns.waiting -= 1
    try:
        yield
    finally:
        turns.here().release()
