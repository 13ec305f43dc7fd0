"""How many members' requests work on the database at once: fewer than its connections have room for.

A page holds the connection it reads with and takes a second one for the audit trail. Twenty pages at once
(every open page asks again when the queue changes) would hold all twenty connections, each waiting for one
more, until the pool gave up after 30 s and answered 503. Whoever finds no seat waits in the event loop,
where waiting costs neither a thread nor a connection.
"""

from asyncio import AbstractEventLoop, Semaphore, get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TypeVar
from weakref import WeakKeyDictionary

import anyio
from fastapi import Request
from fastapi.concurrency import run_in_threadpool

# Two connections each of the pool's twenty: the rest is for webhooks, the API, live pages and jobs.
SEATS = 6
T = TypeVar("T")


class Seats:
    """The seats of one process; one set for each event loop."""

    def __init__(self, count: int = SEATS) -> None:
        self._count = count
        self._free: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()

    def here(self) -> Semaphore:
        loop = get_running_loop()
        if loop not in self._free:
            self._free[loop] = Semaphore(self._count)
        return self._free[loop]


@asynccontextmanager
async def seated(request: Request, take: Callable[[Request, ExitStack], T]) -> AsyncIterator[T]:
    """``take`` with a seat. Given back at the end, or by ``leave`` as soon as the answer is written."""
    seat = request.app.state.seats.here()
    await seat.acquire()
    stack, is_seated = ExitStack(), True

    async def stand_up() -> None:
        nonlocal is_seated
        if not is_seated:
            return
        is_seated = False
        try:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(stack.close)
        finally:
            seat.release()

    request.state.stand_up = stand_up
    try:
        yield await run_in_threadpool(take, request, stack)
    finally:
        await stand_up()


async def leave(request: Request) -> None:
    """Give seat and connection back before the answer travels: a slow reader must not keep others waiting."""
    stand_up: Callable[[], Awaitable[None]] | None = getattr(request.state, "stand_up", None)
    if stand_up is not None:
        await stand_up()
