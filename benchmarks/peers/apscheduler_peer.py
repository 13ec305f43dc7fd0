"""One APScheduler job per text in its SQLAlchemy job store, as tutorials do; in the throw-away environment.

``apscheduler_peer.py DATABASE_URL COUNT CARRIER``: works off COUNT jobs due now, prints texts a second.
"""

import sys
import time
from datetime import UTC, datetime
from queue import SimpleQueue
from threading import Event, local

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

ACCOUNT, TOKEN, NUMBER = "AC" + "0" * 31 + "1", "token", "+13125550000"
own, sent, finished = local(), SimpleQueue(), Event()
carrier = sys.argv[3]
count = int(sys.argv[2])


def send(to: str, body: str) -> None:
    if not hasattr(own, "client"):
        own.client = Client(ACCOUNT, TOKEN, http_client=TwilioHttpClient(timeout=10))
        own.client.api.base_url = carrier
    own.client.messages.create(to=to, body=body, from_=NUMBER)
    sent.put(1)
    if sent.qsize() >= count:
        finished.set()


def main() -> None:
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=sys.argv[1])},
        executors={"default": ThreadPoolExecutor(20)},
        job_defaults={"misfire_grace_time": None, "max_instances": 1},
        timezone=UTC,
    )
    scheduler.start(paused=True)
    now = datetime.now(UTC)
    for number in range(count):
        scheduler.add_job(
            send, "date", run_date=now, args=(f"+1312{2_000_000 + number:07d}", f"Text {number}")
        )
    began = time.perf_counter()
    scheduler.resume()
    finished.wait(600)
    print(sent.qsize() / (time.perf_counter() - began))
    scheduler.shutdown(wait=False)


if __name__ == "__main__":
    main()
