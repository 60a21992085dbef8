"""`python -m tests.load.bare SPEC`: a client loop that posts bytes and nothing else, to compare a delivery of the hub with.

SPEC is JSON: `{"urls", "count", "concurrency", "body", "headers"}`; every URL gets `count` PATCHes. Prints the CPU seconds, the
seconds, and how many were answered.
"""

import asyncio
import json
import sys
import time

import aiohttp
import uvloop
from yarl import URL


async def _main() -> None:
    spec = json.loads(sys.argv[1])
    body, headers = spec["body"].encode(), spec["headers"]
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=spec["concurrency"])
    async with aiohttp.ClientSession(connector=connector) as session:

        async def lane(url: URL, count: int) -> int:
            answered = 0
            for _ in range(count):
                async with session.patch(url, data=body, headers=headers) as answer:
                    answered += b"1000" in await answer.read()
            return answered

        share = spec["count"] // spec["concurrency"]
        began, cpu = time.monotonic(), time.process_time()
        lanes = [lane(URL(url, encoded=True), share) for url in spec["urls"] for _ in range(spec["concurrency"])]
        answered = sum(await asyncio.gather(*lanes))
    used, seconds = time.process_time() - cpu, time.monotonic() - began
    print("ready " + json.dumps({"cpu": used, "seconds": seconds, "answered": answered}), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
