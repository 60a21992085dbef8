"""Reads what a partner answered, or why there was no answer.

Rules AU-13, AM-12, RT-16, RT-23, ST-10, ST-12, OF-04, OF-05; decisions D-03, D-21.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from hub.errors import AddressRefused, AnswerTooLarge, PartnerError, PartnerSilent
from hub.model.outcome import Verdict
from hub.ocpi.modules import TrafficClass
from hub.ocpi.status import (
    INVALID_PARAMETER,
    RECEIVER_NOT_CONNECTED,
    RECEIVER_SILENT,
    ROUTING_FAULT,
    SUCCESS,
    TOKEN_NOT_FOUND,
    Status,
    body,
)

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_KEPT: Final = ("content-type", "link", "location", "retry-after", "x-limit", "x-total-count")
_NEVER_RELAYED: Final = frozenset({407, 421})
_UNUSABLE: Final = frozenset({401, 403})
_JSON: Final = "application/json"
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_BOM: Final = b"\xef\xbb\xbf"


class _Head(msgspec.Struct):
    """What is read of an answer; a page of thousands of objects is not built for one number."""

    status_code: Any = None


_decoder: Final = msgspec.json.Decoder(_Head)


class Judgement(msgspec.Struct, frozen=True):
    """What one attempt came to, and the answer that the requester gets.

    `ocpi_status` is the partner's own code where it gave one. `headers` are those of the partner that may be passed on, by
    lower-case name; Link and Location still are the partner's.
    """

    verdict: Verdict
    http_status: int
    ocpi_status: int | None
    headers: Mapping[str, str]
    body: bytes
    detail: str
    is_partners: bool
    """Whether the answer is the partner's own and not one of the hub."""
    partner_http_status: int | None = None
    """What the partner answered by HTTP, whatever the requester is told; None where it did not answer."""


def judge_answer(
    *, http_status: int, headers: Mapping[str, str], content: bytes, method: str, traffic: TrafficClass, now: datetime
) -> Judgement:
    """Judge an answer that came; `headers` have lower-case names."""
    judged = _judge(http_status, headers, content, method, traffic, now)
    return msgspec.structs.replace(judged, partner_http_status=http_status)


def _judge(
    http_status: int, headers: Mapping[str, str], content: bytes, method: str, traffic: TrafficClass, now: datetime
) -> Judgement:
    code = _ocpi_status(content)
    kept = _kept(headers)
    if http_status in _UNUSABLE:
        return _ours(
            RECEIVER_NOT_CONNECTED, Verdict.TROUBLED, now, f"the receiver answered HTTP {http_status} to the hub"
        )
    if http_status == 429:
        return _too_many(code, kept, content, now)
    if code is not None and _may_be_relayed(http_status):
        return Judgement(_verdict(http_status, code), http_status, code, kept, content, "", True)
    if http_status == 404:
        status = (
            TOKEN_NOT_FOUND if traffic is TrafficClass.AUTHORIZE else Status(404, INVALID_PARAMETER.ocpi, "Not found")
        )
        return _ours(status, Verdict.REFUSED, now, "the receiver answered HTTP 404 without an OCPI body", kept)
    if 200 <= http_status < 300 and not content.strip() and method in _WRITES:
        answer = Status(http_status if http_status != 204 else 200, SUCCESS.ocpi, SUCCESS.message)
        return _ours(answer, Verdict.DELIVERED, now, "the receiver answered without a body", kept)
    return _ours(ROUTING_FAULT, Verdict.TROUBLED, now, f"the receiver answered HTTP {http_status}, not OCPI")


def _may_be_relayed(http_status: int) -> bool:
    """Whether a status means to the requester what it means to the hub, and is one that a server can send at all."""
    return 200 <= http_status < 600 and not 300 <= http_status < 400 and http_status not in _NEVER_RELAYED


def _verdict(http_status: int, code: int) -> Verdict:
    """What an OCPI answer means: 3xxx is a fault of the receiver, not a judgement on the content."""
    if http_status >= 500 or code >= 3000:
        return Verdict.TROUBLED
    return Verdict.DELIVERED if http_status < 300 and code < 2000 else Verdict.REFUSED


def judge_failure(error: PartnerError, now: datetime) -> Judgement:
    """Judge that there was no answer: 4003 when nothing was sent, 4002 when the receiver may have acted."""
    if isinstance(error, PartnerSilent):
        return _ours(RECEIVER_SILENT, Verdict.SILENT, now, str(error))
    if isinstance(error, AnswerTooLarge):
        return _ours(ROUTING_FAULT, Verdict.TROUBLED, now, str(error))
    detail = "its address is not allowed" if isinstance(error, AddressRefused) else str(error)
    return _ours(RECEIVER_NOT_CONNECTED, Verdict.UNREACHABLE, now, detail)


def _too_many(code: int | None, kept: dict[str, str], content: bytes, now: datetime) -> Judgement:
    if code is not None:
        return Judgement(Verdict.TROUBLED, 429, code, kept, content, "", True)
    status = Status(429, ROUTING_FAULT.ocpi, "The receiver gets too many requests")
    return _ours(status, Verdict.TROUBLED, now, "the receiver answered HTTP 429", kept)


def _ours(
    status: Status, verdict: Verdict, now: datetime, detail: str, kept: Mapping[str, str] | None = None
) -> Judgement:
    headers = {**(kept or {}), "content-type": _JSON}
    message = f"{status.message}: {detail}" if detail and status.ocpi >= 4000 else None
    return Judgement(verdict, status.http, None, headers, body(status, now, message=message), detail, False)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """What may be passed on, as text that every hop can carry: bytes that are no UTF-8 become the letters of Latin-1."""
    kept: dict[str, str] = {}
    for name in _KEPT:
        value = headers.get(name)
        if value is None or _CONTROL.search(value):
            continue
        try:
            value.encode()
        except UnicodeEncodeError:
            value = value.encode("utf-8", "surrogateescape").decode("latin-1")
        kept[name] = value
    return kept


def _ocpi_status(content: bytes) -> int | None:
    """The status code of an OCPI answer; None when the content is none. A code in quotes counts."""
    try:
        content.decode()
        code = _decoder.decode(content.removeprefix(_BOM)).status_code
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 4:
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) and 1000 <= code <= 9999 else None
