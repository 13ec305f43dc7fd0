"""The smallest honest webhook: FastAPI, Twilio's validator, one insert and commit. Nothing is triaged.

``python -m benchmarks.peers.minimal_webhook PORT DATABASE_URL PUBLIC_URL TOKEN``
"""

import sys

import uvicorn
from fastapi import FastAPI, Request, Response
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from twilio.request_validator import RequestValidator

from service.db import make_engine

port, url, public, token = int(sys.argv[1]), *sys.argv[2:5]
engine = make_engine(url)
validator = RequestValidator(token)
app = FastAPI()
INSERT = text(
    "INSERT INTO minimal_texts (sid, sender, body) VALUES (:sid, :sender, :body) ON CONFLICT DO NOTHING"
)


def store(form: dict[str, str]) -> None:
    with engine.begin() as connection:
        connection.execute(INSERT, {"sid": form["MessageSid"], "sender": form["From"], "body": form["Body"]})


@app.post("/twilio/inbound")
async def inbound(request: Request) -> Response:
    form = await request.form()
    signature = request.headers.get("x-twilio-signature", "")
    if not validator.validate(f"{public}/twilio/inbound", form, signature):
        return Response(status_code=403)
    await run_in_threadpool(store, {key: str(value) for key, value in form.items()})
    return Response("<Response/>", media_type="text/xml")


with engine.begin() as connection:
    connection.execute(
        text("CREATE TABLE IF NOT EXISTS minimal_texts (sid TEXT PRIMARY KEY, sender TEXT, body TEXT)")
    )
uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="error")
