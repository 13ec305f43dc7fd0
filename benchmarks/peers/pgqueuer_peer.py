"""The same texts as pgqueuer jobs, sent through the same client. Runs in the throw-away environment.

``pgqueuer_peer.py DSN COUNT CARRIER``: enqueues COUNT jobs, works them off, prints texts per second.
"""

import asyncio
import json
import sys
import time

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

ACCOUNT, TOKEN, NUMBER = "AC" + "0" * 31 + "1", "token", "+13125550000"
THREADS = 8


async def main(dsn: str, count: int, carrier: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    pool = await asyncpg.create_pool(dsn, min_size=2, max_size=10)
    driver = AsyncpgPoolDriver(pool)
    queries = Queries(driver)
    await queries.install()
    texts = [
        json.dumps({"to": f"+1312{2_000_000 + n:07d}", "body": f"Text {n}"}).encode() for n in range(count)
    ]
    for first in range(0, count, 5000):
        part = texts[first : first + 5000]
        await queries.enqueue(["send"] * len(part), part, [0] * len(part))
    clients = []
    for _ in range(THREADS):
        client = Client(ACCOUNT, TOKEN, http_client=TwilioHttpClient(timeout=10))
        client.api.base_url = carrier
        clients.append(client)
    executor, loop, done = ThreadPoolExecutor(THREADS), asyncio.get_running_loop(), 0
    queuer = PgQueuer(driver)

    def post(text: dict) -> None:
        client = clients.pop()
        try:
            client.messages.create(to=text["to"], body=text["body"], from_=NUMBER)
        finally:
            clients.append(client)

    @queuer.entrypoint("send")
    async def send(job: Job) -> None:
        nonlocal done
        await loop.run_in_executor(executor, post, json.loads(job.payload or b"{}"))
        done += 1
        if done == count:
            queuer.shutdown.set()

    began = time.perf_counter()
    await queuer.run(batch_size=100)
    print(count / (time.perf_counter() - began))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
