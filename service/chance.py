"""Random ids, drawn from the system's source a page at a time.

Asking it for each id lets go of the interpreter each time, and with many threads whoever let go stands in
line again: six times for one red flag.
"""

import os
from threading import Lock

PAGE = 4096

_lock = Lock()
_page, _used = b"", 0


def random_id() -> str:
    """128 random bits as 32 hexadecimal digits: nobody can guess it."""
    global _page, _used
    with _lock:
        if _used + 16 > len(_page):
            _page, _used = os.urandom(PAGE), 0
        drawn = _page[_used : _used + 16]
        _used += 16
    return drawn.hex()


def _forget() -> None:
    """A forked process must not draw what its parent draws."""
    global _lock, _page
    _lock, _page = Lock(), b""


os.register_at_fork(after_in_child=_forget)
