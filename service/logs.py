"""Logging without patient detail: our own sentences, never texts, names or numbers."""

import json
import logging
import sys
from datetime import UTC, datetime

QUIET = {
    "alembic": logging.WARNING,
    "apscheduler": logging.ERROR,
    "twilio": logging.WARNING,
    "uvicorn.access": logging.WARNING,
}


class JsonLines(logging.Formatter):
    """One JSON object a line. Exceptions appear by kind only: their text may quote what a patient wrote."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=False)


class PlainLines(logging.Formatter):
    """Readable lines; exceptions by kind and place only."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatException(self, ei: object) -> str:
        kind = ei[0].__name__ if isinstance(ei, tuple) and ei[0] else "error"
        return f"({kind})"


def start_logging(log_format: str) -> None:
    """Log to standard error as ``text`` or ``json``."""
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonLines() if log_format == "json" else PlainLines())
    logging.basicConfig(level=logging.INFO, handlers=[output], force=True)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
