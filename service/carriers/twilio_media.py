"""Pictures that came with a text, fetched from Twilio when a person opens one.

The stored address came in over the web: only the id of the picture is read from it. The address that is asked
is our account's own, and what it redirects to must be a place where Twilio keeps media. Credentials go to the
API alone.
"""

import re
import time
from urllib.parse import urljoin, urlsplit

import requests

from service.carriers import LONGEST_PICTURE, CarrierError

MEDIA_ID = re.compile(r"/Media/(ME[0-9a-f]{32})(?:\.json)?$")
TEXT_ID = re.compile(r"(SM|MM)[0-9a-f]{32}")
MEDIA_HOSTS = ("mms.twiliocdn.com", "media.twiliocdn.com")
BUCKET_HOSTS = re.compile(r"s3(-external-1|[.-][a-z0-9-]+)?\.amazonaws\.com")
BUCKET_PATHS = ("/media.twiliocdn.com/", "/mms.twiliocdn.com/")
MOST_REDIRECTS = 2
WAITS = (3.0, 6.5)  # seconds to connect, and between two pieces
IN_ALL = 15.0  # seconds: a picture that drips is given up


def fetch(
    api_url: str, account: tuple[str, str], carrier_sid: str, place: int, reference: str | None
) -> bytes:
    """The bytes of a picture. ``account``: id and token. Raises CarrierError; requests' errors pass through.

    1. The picture's id: from the stored reference, else from the account's own list for this text.
    2. Ask the account's address for it, with the account's credentials.
    3. Follow at most two redirects, without credentials, to media hosts only.
    4. Read until the limit, in bytes and in seconds.
    """
    if not TEXT_ID.fullmatch(carrier_sid):
        raise CarrierError("this text has no pictures at the carrier", outcome="rejected")
    base = f"{api_url}/2010-04-01/Accounts/{account[0]}/Messages/{carrier_sid}/Media"
    until = time.monotonic() + IN_ALL
    with requests.Session() as session:
        session.trust_env = False  # no .netrc of the machine may add credentials
        session.headers["Accept-Encoding"] = "identity"  # what is small on the wire must not grow here
        found = MEDIA_ID.search(urlsplit(reference or "").path)
        media_id = found[1] if found else _listed(session, base, account, place)
        answer = session.get(
            f"{base}/{media_id}", auth=account, timeout=WAITS, stream=True, allow_redirects=False
        )
        for _ in range(MOST_REDIRECTS):
            if not answer.is_redirect:
                break
            address = urljoin(answer.url, answer.headers["location"])
            answer.close()
            if not is_media_place(address, api_url):
                raise CarrierError("the carrier pointed to a place that is not its own", outcome="rejected")
            answer = session.get(address, timeout=WAITS, stream=True, allow_redirects=False)
        with answer:
            _refuse_errors(answer)
            return _read(answer, until)


def is_media_place(address: str, api_url: str) -> bool:
    """Whether an address is one where the carrier keeps media: its hosts by name over https, or the API's."""
    there, api = urlsplit(address), urlsplit(api_url)
    if (there.scheme, there.netloc) == (api.scheme, api.netloc):
        return True
    if there.scheme != "https" or there.username is not None or there.port not in (None, 443):
        return False
    host = there.hostname or ""
    in_bucket = BUCKET_HOSTS.fullmatch(host) is not None and there.path.startswith(BUCKET_PATHS)
    return host in MEDIA_HOSTS or in_bucket


def _listed(session: requests.Session, base: str, account: tuple[str, str], place: int) -> str:
    """The picture's id from the carrier's list, oldest first: for texts that were read from the log."""
    answer = session.get(f"{base}.json", auth=account, timeout=WAITS, allow_redirects=False)
    _refuse_errors(answer)
    ids = [str(item["sid"]) for item in answer.json()["media_list"]]
    if place >= len(ids) or not re.fullmatch(r"ME[0-9a-f]{32}", ids[place]):
        raise CarrierError("the carrier no longer has this picture", outcome="rejected")
    return ids[place]


def _refuse_errors(answer: requests.Response) -> None:
    if answer.status_code in (404, 410):
        raise CarrierError("the carrier no longer has this picture", outcome="rejected")
    if answer.status_code != 200:
        raise CarrierError(f"the carrier answered {answer.status_code}", outcome="unknown")


def _read(answer: requests.Response, until: float) -> bytes:
    content = bytearray()
    for piece in answer.raw.stream(64 * 1024, decode_content=False):
        content += piece
        if len(content) > LONGEST_PICTURE:
            raise CarrierError("the picture is too large", outcome="rejected")
        if time.monotonic() > until:
            raise CarrierError("the picture did not arrive in time", outcome="unknown")
    return bytes(content)
