"""What a broken connection says about a text: surely not processed, or nobody knows."""

from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from service.carriers import CarrierError


def no_answer(error: requests.RequestException) -> CarrierError:
    """Refused, unresolved or not connected in time: surely not processed. Anything later: nobody knows."""
    reason: Any = error.args[0] if error.args else None
    reason = getattr(reason, "reason", reason)
    never_connected = isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(
        reason, NewConnectionError | ConnectTimeoutError
    )
    if never_connected or "CERTIFICATE_VERIFY_FAILED" in str(reason):
        return CarrierError("the carrier cannot be reached", outcome="not_processed")
    return CarrierError(f"no answer ({type(error).__name__})", outcome="unknown")
