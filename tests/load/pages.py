"""GET All, page by page, as an eMSP follows the Links."""

import re
import time
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec

from tests.load.rig import Hub
from tests.load.wire import Caller, request

PAGE: Final = 1000
_NEXT: Final = re.compile(r'<([^>]+)>; rel="next"')


class Page(NamedTuple):
    """One page and how long it took."""

    seconds: float
    objects: list[dict[str, Any]]
    total: int


async def pages(hub: Hub, headers: str, module: str = "locations") -> AsyncIterator[Page]:
    """Every page of a module, in order."""
    caller = await Caller.open(hub.url)
    target: str | None = f"/ocpi/2.2.1/sender/{module}?limit={PAGE}"
    while target:
        began = time.monotonic()
        came = await caller.ask(request("GET", target, headers))
        seconds = time.monotonic() - began
        assert came.status == 200, came
        yield Page(seconds, msgspec.json.decode(came.body)["data"], int(came.header("x-total-count") or 0))
        following = _NEXT.search(came.header("link") or "")
        target = following[1].removeprefix(hub.url) if following else None
    caller.close()
