"""Many requests on order of the control API: push all of its own objects, read a list to its end."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec

from infra.dev.partner.calling import Errand, addressed, compose, object_path, perform
from infra.dev.partner.client import Answer, Outgoing
from infra.dev.partner.load import identify
from infra.dev.partner.platform import Platform
from infra.dev.partner.records import Deviation
from infra.dev.partner.sending import party, told
from infra.dev.partner.store import Held, Name
from infra.dev.partner.wire import decode
from infra.dev.partner.words import Interface, Party

_NEXT: Final = re.compile(r'<([^>]*)>\s*;[^,]*rel="?next"?')
_LISTED: Final = {
    "locations": "Location",
    "sessions": "Session",
    "cdrs": "CDR",
    "tariffs": "Tariff",
    "tokens": "Token",
    "hubclientinfo": "ClientInfo",
}


class PushOrder(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Push all own objects of a module, of one party where `from` names it."""

    module: str
    to_party: str | None = msgspec.field(default=None, name="to")
    from_party: str | None = msgspec.field(default=None, name="from")
    concurrency: int = 8
    limit: int | None = None


class PullOrder(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Read a list to its end. `replace` makes it the new truth: what it lacks is dropped from the store."""

    module: str
    interface: Literal["sender", "receiver"] = "sender"
    to_party: str | None = msgspec.field(default=None, name="to")
    from_party: str | None = msgspec.field(default=None, name="from")
    path: str = ""
    query: dict[str, str] = {}
    store: bool = True
    replace: bool = False
    objects: bool = True


async def push_all(platform: Platform, order: PushOrder) -> dict[str, Any]:
    """Push own objects, so many at a time, each as the bytes it was loaded from.

    Raises:
        LookupError: not registered, or the peer does not offer the module.
    """
    chosen = _chosen(platform, order)
    results: list[dict[str, Any]] = []

    async def work(waiting: Iterator[Held]) -> None:
        for held in waiting:
            path, query = object_path(held.name)
            method, where = ("POST", "") if order.module == "cdrs" else ("PUT", path)
            owner = Party(*held.name.parts[:2])
            errand = Errand(
                method,
                order.module,
                Interface.RECEIVER,
                where,
                query,
                owner,
                party(order.to_party),
                held.current,
            )
            outgoing = compose(platform, errand)
            answer = await perform(platform, outgoing, order.module)
            results.append({"key": "/".join(held.name.parts)} | told(outgoing, answer))

    started = time.perf_counter()
    shared = iter(chosen)
    await asyncio.gather(*(work(shared) for _ in range(max(1, order.concurrency))))
    accepted = sum(1 for result in results if result["accepted"])
    return {"count": len(results), "accepted": accepted, "seconds": time.perf_counter() - started, "results": results}


async def pull(platform: Platform, order: PullOrder) -> dict[str, Any]:
    """Read a list page by page, following `Link`, and keep what it holds.

    Raises:
        LookupError: not registered, or the peer does not offer the module.
    """
    receiver = party(order.from_party) or platform.parties[0]
    pages: list[dict[str, Any]] = []
    objects: list[bytes] = []
    async for outgoing, answer, listed in _pages(platform, order, receiver):
        pages.append(told(outgoing, answer) | {"total_count": answer.headers.get("x-total-count")})
        objects.extend(listed)
        _check_listed(platform, order.module, outgoing, listed)
    complete = bool(pages) and all(page["accepted"] for page in pages)
    if order.store:
        _keep(platform, order, receiver, objects, drop_others=order.replace and complete)
    shown = {"objects": [msgspec.Raw(raw) for raw in objects]} if order.objects else {}
    return {"complete": complete, "count": len(objects), "pages": pages, **shown}


def _chosen(platform: Platform, order: PushOrder) -> list[Held]:
    wanted = party(order.from_party)
    held = [
        one for one in platform.own.held(order.module) if wanted is None or Party(*one.name.parts[:2]).key == wanted.key
    ]
    return held if order.limit is None else held[: order.limit]


async def _pages(
    platform: Platform, order: PullOrder, receiver: Party
) -> AsyncIterator[tuple[Outgoing, Answer, list[bytes]]]:
    errand = Errand(
        "GET",
        order.module,
        Interface(order.interface.upper()),
        order.path,
        urlencode(order.query),
        receiver,
        party(order.to_party),
    )
    outgoing: Outgoing | None = compose(platform, errand)
    while outgoing is not None:
        answer = await perform(platform, outgoing, order.module)
        yield outgoing, answer, _objects(answer) if answer.succeeded else []
        following = _NEXT.search(answer.headers.get("link", "")) if answer.succeeded else None
        outgoing = addressed(platform, errand, following[1]) if following else None


class _Page(msgspec.Struct):
    data: list[msgspec.Raw] = []


def _objects(answer: Answer) -> list[bytes]:
    try:
        return [bytes(raw) for raw in msgspec.json.decode(answer.body, type=_Page).data]
    except msgspec.DecodeError:
        return []


def _check_listed(platform: Platform, module: str, outgoing: Outgoing, listed: list[bytes]) -> None:
    if module not in _LISTED or platform.options.record == "light":
        return
    for position, raw in enumerate(listed):
        report = platform.tables.check(_LISTED[module], decode(raw))
        platform.deviations.count_unknown(report.unknown)
        for found in report.findings:
            path = f"$.data[{position}]{found.path[1:]}"
            where = (outgoing.request_id, "GET", outgoing.url, "answer")
            platform.deviations.add(Deviation(time.time(), found.rule, path, found.message, *where))


def _keep(platform: Platform, order: PullOrder, receiver: Party, objects: list[bytes], *, drop_others: bool) -> None:
    kept = set()
    for raw in objects:
        try:
            name = _listed_name(order.module, receiver, raw)
        except (ValueError, LookupError, TypeError):
            continue
        platform.received.put(order.module, name, raw)
        kept.add(name.key)
    if drop_others:
        for held in list(platform.received.held(order.module)):
            if held.name.receiver in ("", receiver.key) and held.name.key not in kept:
                platform.received.delete(order.module, held.name)


def _listed_name(module: str, receiver: Party, raw: bytes) -> Name:
    if module == "hubclientinfo":
        info = decode(raw)
        return Name("", (str(info["country_code"]), str(info["party_id"]), str(info["role"])))
    return Name(receiver.key, identify(raw)[1].parts)
