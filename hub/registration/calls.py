"""The calls of a handshake, and what to make of what came back.

An answer is a partner's: it is read up to a limit that every real one stays far below, and what is quoted from it, or from the
URL, holds no token and no control characters, since it ends in logs, on terminals and in the answer to whoever gave the URL.
"""

import base64
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from hub.errors import AddressRefused, PartnerError
from hub.model.directory import OutboundToken
from hub.ocpi.status import CONNECT_BACK_FAILED, Refusal
from hub.partners.client import Answer

LARGEST_ANSWER_BYTES: Final = 2**20
BOM: Final = b"\xef\xbb\xbf"
_LONGEST_QUOTE: Final = 200
_SHORTEST_SECRET: Final = 4
_BARE: Final = ("endpoints", "versions", "token")
_NOT_CALLED: Final = (
    "the hub may not call this URL: it must be absolute, without credentials, its host a public one, and its scheme https"
    " unless the hub's operator has named the network"
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the partner: `token` with its encoding, `body` as JSON value or None."""

    method: str
    url: str
    token: OutboundToken
    body: Any = field(default=None, repr=False)


Received = Answer | PartnerError


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a call gave nothing.

    `http_status` is None when there was no answer; `may_have_acted`: the platform may have done what was asked all the same.
    """

    refusal: Refusal
    http_status: int | None
    may_have_acted: bool


def read_answer(call: Call, received: Received) -> Any | Trouble:
    """The `data` of a successful answer, wrapped or bare, or why there is none."""
    if isinstance(received, AddressRefused):
        return trouble(call, None, _NOT_CALLED, may_have_acted=False)
    if isinstance(received, PartnerError):
        return trouble(call, None, str(received), may_have_acted=received.sent)
    http_status = received.http_status
    vague = not 400 <= http_status < 500
    if len(received.body) > LARGEST_ANSWER_BYTES:
        return trouble(call, http_status, f"more than {LARGEST_ANSWER_BYTES} bytes", may_have_acted=vague)
    try:
        value = msgspec.json.decode(received.body.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return trouble(call, http_status, f"HTTP {http_status}, not JSON", may_have_acted=vague)
    if not 200 <= http_status < 300:
        return trouble(call, http_status, f"HTTP {http_status}{_their_message(value)}", may_have_acted=vague)
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return trouble(call, http_status, "neither an OCPI answer nor a list", may_have_acted=True)
    code = value.get("status_code")
    if not _is_success(code):
        said = f"OCPI status {str(code)[:20]}{_their_message(value)}"
        return trouble(call, http_status, said, may_have_acted=False)
    return value.get("data", value if any(name in value for name in _BARE) else None)


def trouble(call: Call, http_status: int | None, said: str, *, may_have_acted: bool) -> Trouble:
    """3001 with the call and what was wrong."""
    parts = urlsplit(call.url)._replace(query="", fragment="") if _can_be_split(call.url) else None
    message = f"{call.method} {parts.geturl() if parts else 'a URL that cannot be parsed'}: {said}"
    return Trouble(Refusal(CONNECT_BACK_FAILED, _quotable(message, call)), http_status, may_have_acted)


def _is_success(code: Any) -> bool:
    """1xxx in any JSON type; an envelope without a code, or with the word, is one too."""
    return code is None or str(code).startswith("1") or str(code).lower() == "success"


def _their_message(value: Any) -> str:
    message = value.get("status_message") if isinstance(value, dict) else None
    return f" ({message[:_LONGEST_QUOTE]})" if isinstance(message, str) and message else ""


def _quotable(message: str, call: Call) -> str:
    offered = call.body.get("token") if isinstance(call.body, dict) else None
    for token in (call.token.value, offered):
        if isinstance(token, str) and len(token) >= _SHORTEST_SECRET:
            encoded = base64.b64encode(token.encode()).decode("ascii")
            message = message.replace(token, f"{token[:3]}…").replace(encoded, f"{token[:3]}…")
    return "".join(character if character.isprintable() else " " for character in message)


def _can_be_split(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True
