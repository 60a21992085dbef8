"""Reads the body of a request, whole or not at all, and never more of it than may be held."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from starlette.types import Receive

from hub.ocpi.status import BODY_TOO_LARGE, Refusal

_LINGER_SECONDS: Final = 5.0
_LINGER_BYTES: Final = 64 * 2**20
"""How long, and how much of, a body that is too large is still taken: a client that is writing does not read the answer."""


class ClientGone(Exception):
    """The client hung up before its request was whole."""


async def read_whole(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes | Refusal:
    """The body, or the refusal of one over the limit.

    Raises:
        ClientGone: the connection ended before the body did; what has come of it is no request.
    """
    announced = headers.get("content-length", "0")
    is_too_large = announced.isdigit() and int(announced) > limit
    chunks: list[bytes] = []
    size = 0
    while not is_too_large:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        size += len(message["body"])
        is_too_large = size > limit
        chunks.append(message["body"])
        if not message["more_body"]:
            break
    if is_too_large:
        chunks.clear()
        if "expect" not in headers:
            await _linger(receive)
        return Refusal(BODY_TOO_LARGE, f"The body is larger than {limit} bytes")
    return b"".join(chunks)


async def _linger(receive: Receive) -> None:
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while size < _LINGER_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
