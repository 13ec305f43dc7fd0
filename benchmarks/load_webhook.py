"""A load generator of its own process: POSTs prepared requests over kept-alive connections.

``python -m benchmarks.load_webhook PORT FILE CONNECTIONS``: FILE holds one JSON line per request (path,
headers, body). Prints requests per second, the 50th, 95th and 99th percentile in ms, and counts by status.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path


async def post(port: int, requests: list[bytes], statuses: Counter[int], times: list[float]) -> None:
    """One connection takes the next request as soon as the last one is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while requests:
        request = requests.pop()
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at >= 0:
            await reader.readexactly(int(lower[at + 15 :].split(b"\r\n", 1)[0]))
        times.append(time.perf_counter() - began)
        statuses[int(head[9:12])] += 1
        if b"connection: close" in lower:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def main(port: int, file: Path, connections: int) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    requests = [raw(line) for line in reversed(lines)]
    count, statuses, times = len(requests), Counter[int](), list[float]()
    began = time.perf_counter()
    await asyncio.gather(*(post(port, requests, statuses, times) for _ in range(connections)))
    seconds = time.perf_counter() - began
    times.sort()
    at = {str(share): round(1000 * times[int(len(times) * share / 100)], 2) for share in (50, 95, 99)}
    print(json.dumps({"per_second": count / seconds, "ms": at, "statuses": dict(statuses)}))


def raw(line: dict) -> bytes:
    body = line["body"].encode()
    headers = {"Host": "127.0.0.1", "Content-Length": str(len(body))} | line["headers"]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {line['path']} HTTP/1.1\r\n{head}\r\n".encode() + body


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
