"""The cheapest carrier there can be: answers 201 with an id of its own and counts each phone. For measuring.

``python -m benchmarks.stub_carrier PORT``. GET /counts gives texts, phones and how many phones got more than
one; GET /reset forgets them.
"""

import asyncio
import json
import sys
from collections import Counter
from urllib.parse import unquote_plus

seen: Counter[str] = Counter()
number = 0


class Answer(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            size = 0
            at = head.find(b"content-length:")
            if at >= 0:
                size = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + size:
                return
            body = self.buffer[end + 4 : end + 4 + size]
            self.buffer = self.buffer[end + 4 + size :]
            self.transport.write(answer(head, body))  # type: ignore[attr-defined]


def answer(head: bytes, body: bytes) -> bytes:
    global number
    if head.startswith(b"get /reset"):
        seen.clear()
        return wrap(200, b"{}")
    if head.startswith(b"get /counts"):
        counts = {
            "texts": sum(seen.values()),
            "phones": len(seen),
            "twice": sum(n > 1 for n in seen.values()),
        }
        return wrap(200, json.dumps(counts).encode())
    for part in body.split(b"&"):
        if part.startswith(b"To="):
            seen[unquote_plus(part[3:].decode())] += 1
    number += 1
    return wrap(201, b'{"sid": "SM%032x", "status": "queued"}' % number)


def wrap(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(int(sys.argv[1])))
    except ImportError:
        asyncio.run(main(int(sys.argv[1])))
