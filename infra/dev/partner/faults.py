"""Misbehaviour on demand: which request meets which fault, and what it does.

A fault holds for every request, for one module, for `functional` (all functional modules), or for one method, until
it is switched off or its `times` are used up. The first matching fault decides; `slow` and `strict` come on top of
it.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from infra.dev.partner.wire import Reply, encode, refused
from infra.dev.partner.words import FUNCTIONAL, MODULES

HTTP_FAULTS: Final = frozenset({"400", "401", "403", "404", "429", "500", "502", "503", "504"})
KINDS: Final = HTTP_FAULTS | {
    "down",
    "hang",
    "slow",
    "strict",
    "module_refused",
    "wrong_envelope",
    "drop",
    "empty_2xx",
    "ocpi_status",
}
APPLIED_BY_DEFAULT: Final = frozenset({"empty_2xx", "slow", "strict"})


class FaultOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order over the control API: switch a fault on or off."""

    fault: str
    on: bool = True
    module: str | None = None
    method: str | None = None
    times: int | None = None
    applied: bool | None = None
    """Whether the request takes effect all the same."""
    delay_ms: int = 1000
    retry_after: int | None = None
    http_status: int = 200
    status_code: int = 2003
    form: str = "bare"
    """Of `wrong_envelope`: `bare` JSON without an envelope, or `html`."""

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """Two orders with one key are about one fault."""
        return self.fault, self.module, self.method

    @property
    def takes_effect(self) -> bool:
        """Say whether a request that meets this fault is applied."""
        return self.fault in APPLIED_BY_DEFAULT if self.applied is None else self.applied

    def check(self) -> None:
        """Refuse an order that means nothing.

        Raises:
            ValueError: with what is wrong.
        """
        if self.fault not in KINDS:
            raise ValueError(f"no fault {self.fault!r}; there are {', '.join(sorted(KINDS))}")
        if self.module not in (None, "functional", *MODULES):
            raise ValueError(f"no module {self.module!r}")
        if self.fault == "down" and (self.module or self.method or self.times is not None):
            raise ValueError("down concerns the whole platform")
        if self.form not in ("bare", "html"):
            raise ValueError("the form is bare or html")

    def matches(self, module: str, method: str) -> bool:
        """Say whether a request meets this fault."""
        if self.method is not None and self.method.upper() != method:
            return False
        return self.module is None or self.module == module or (self.module == "functional" and module in FUNCTIONAL)


@dataclass(slots=True)
class ActiveFault:
    """A fault that is switched on. Those who hang wait for `released`."""

    order: FaultOrder
    remaining: int | None
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Met:
    """What a request met: the fault that decides its answer, if any, and what comes on top."""

    deciding: ActiveFault | None = None
    delay_ms: int = 0
    strict: bool = False


NOTHING_MET: Final = Met()


class Faults:
    """The faults that are on."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str | None, str | None], ActiveFault] = {}

    def order(self, order: FaultOrder) -> None:
        """Switch a fault on or off. Whoever hangs on one that goes off is served now, if still there."""
        before = self._active.pop(order.key, None)
        if before is not None:
            before.released.set()
        if order.on:
            self._active[order.key] = ActiveFault(order, order.times)

    def clear(self) -> None:
        """Switch everything off."""
        for active in self._active.values():
            active.released.set()
        self._active.clear()

    def is_down(self) -> bool:
        """Say whether the platform shall not be reachable."""
        return ("down", None, None) in self._active

    def meet(self, module: str, method: str) -> Met:
        """Find what a request meets, and count it against `times`."""
        if not self._active:
            return NOTHING_MET
        deciding, delay_ms, strict = None, 0, False
        for active in self._matching(module, method):
            match active.order.fault:
                case "down":
                    continue
                case "slow":
                    delay_ms = max(delay_ms, active.order.delay_ms)
                case "strict":
                    strict = True
                case _ if deciding is not None:
                    continue
                case _:
                    deciding = active
            self._use(active)
        return Met(deciding, delay_ms, strict)

    def shown(self) -> list[dict[str, Any]]:
        """Give the faults that are on as JSON values."""
        return [msgspec.to_builtins(active.order) | {"remaining": active.remaining} for active in self._active.values()]

    def _matching(self, module: str, method: str) -> Iterator[ActiveFault]:
        return (active for active in list(self._active.values()) if active.order.matches(module, method))

    def _use(self, active: ActiveFault) -> None:
        if active.remaining is not None:
            active.remaining -= 1
            if active.remaining <= 0:
                self._active.pop(active.order.key, None)


def fault_answer(order: FaultOrder) -> Reply:
    """Make the answer that a fault gives in place of the true one."""
    match order.fault:
        case "module_refused":
            return refused(2001, "this module is not offered", http_status=404)
        case "ocpi_status":
            return refused(order.status_code, f"fault: {order.status_code}", http_status=order.http_status)
        case "empty_2xx":
            return Reply(http_status=204 if order.http_status == 204 else 200, content_type=None)
        case "wrong_envelope" if order.form == "html":
            return Reply(order.http_status, b"<html><body>It works!</body></html>", content_type="text/html")
        case "wrong_envelope":
            return Reply(order.http_status, encode({"result": "ok"}))
        case "401" | "403":
            return refused(2001, "fault: not authorised", http_status=int(order.fault))
        case "429":
            headers = {} if order.retry_after is None else {"Retry-After": str(order.retry_after)}
            return Reply(429, b"Too Many Requests", headers=headers, content_type="text/plain")
        case status:
            return Reply(int(status), f"fault: {status}".encode(), content_type="text/plain")
