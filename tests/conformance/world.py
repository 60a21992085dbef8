"""The parties that every case finds connected to the hub, and what cases do again and again."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from tests.conformance.adapter import Operator
from tests.conformance.objects import Json, a_location, tail_of
from tests.conformance.party import EVERYTHING, Answer, Platform, Role, encoded, new_id, pair

_names: Final = itertools.count(1)
T = TypeVar("T")
CREDENTIALS: Final = ("credentials", "SENDER")


class World:
    """Platforms around a hub. `ms2` hosts two eMSPs; `both` one party that is CPO and eMSP."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.hub = operator.party
        self.cp1 = Platform(Role("NL/CP1", "CPO"))
        self.cp2 = Platform(Role("DE/CP2", "CPO"))
        self.ms1 = Platform(Role("NL/MS1", "EMSP"))
        self.ms2 = Platform(Role("DE/MS2", "EMSP"), Role("BE/MS3", "EMSP"))
        self.both = Platform(Role("FR/BTH", "CPO"), Role("FR/BTH", "EMSP"))
        self.nsp = Platform(Role("BE/NS1", "NSP"))
        self.other = Platform(Role("LU/OT1", "OTHER"))
        self.everyone = (self.cp1, self.cp2, self.ms1, self.ms2, self.both, self.nsp, self.other)

    @property
    def version_url(self) -> str:
        """The base of 2.2.1 at the hub, as its versions gave it."""
        return self.cp1.hub_endpoints["version", ""]

    async def begin(self) -> None:
        """Start and register everyone."""
        for platform in self.everyone:
            await platform.start()
            await self.register(platform)

    async def end(self) -> None:
        """Stop everyone."""
        for platform in self.everyone:
            await platform.close()

    async def invite(self, platform: Platform) -> str:
        """Invite a platform for all its parties; gives token A."""
        roles: dict[str, list[str]] = {}
        for role in platform.roles:
            roles.setdefault(role.party, []).append(role.role)
        token = ""
        for party, names in roles.items():
            invitation = await self.operator.invite(party, names, platform.platform_id)
            platform.platform_id = invitation.platform_id
            token = token or invitation.token
        return token

    async def register(self, platform: Platform) -> Answer:
        """Invite a platform and let it register; the hub's answer to its credentials."""
        return await self.handshake(platform, await self.invite(platform))

    async def handshake(self, platform: Platform, token_a: str, **changes: Any) -> Answer:
        """What a partner does with its token A: versions, details, POST credentials."""
        await self.look(platform, token_a)
        url = platform.hub_endpoints[CREDENTIALS]
        answer = await platform.ask("POST", url, body=platform.credentials(**changes), token=token_a)
        if answer.code == 1000:
            platform.token = answer.data["token"]
        return answer

    async def look(self, platform: Platform, token: str) -> None:
        """Fetch the hub's versions and details, and keep its endpoints."""
        versions = await platform.ask("GET", self.operator.versions_url, token=token)
        url = next(entry["url"] for entry in versions.data if entry["version"] == "2.2.1")
        details = await platform.ask("GET", url, token=token)
        platform.hub_endpoints = {
            (entry["identifier"], entry["role"]): entry["url"] for entry in details.data["endpoints"]
        } | {("version", ""): url}

    @contextlib.asynccontextmanager
    async def guest(
        self,
        *names: str,
        offers: Sequence[tuple[str, str]] = EVERYTHING,
        is_registered: bool = True,
        country_code: str = "XA",
    ) -> AsyncIterator[Platform]:
        """A platform with a fresh party of these roles, for cases that change what it is; suspended in the end."""
        party = f"{country_code}/{_code(next(_names))}"
        platform = Platform(*(Role(party, name) for name in names), offers=offers)
        await platform.start()
        try:
            if is_registered:
                await self.register(platform)
            yield platform
        finally:
            if platform.platform_id:
                await self.operator.suspend(platform.platform_id)
            await platform.close()

    async def push(self, platform: Platform, module: str, thing: Json, **more: Any) -> tuple[str, Answer]:
        """PUT an object to all; its correlation id and the answer."""
        correlation_id = more.pop("correlation_id", "") or new_id()
        tail, to = more.pop("tail", tail_of(thing)), more.pop("to", self.hub)
        answer = await platform.send(
            "PUT", "RECEIVER", module, tail, body=thing, to=to, correlation_id=correlation_id, **more
        )
        return correlation_id, answer

    async def barrier(self, sender: Platform, module: str, thing: Json, *receivers: Platform) -> None:
        """Wait until what was pushed before of the same object has reached these: push it once more, and see that arrive."""
        correlation_id, _ = await self.push(sender, module, thing)
        for receiver in receivers:
            await receiver.await_got(correlation_id)

    async def get_all(self, platform: Platform, module: str, query: str = "") -> list[Json]:
        """Every object of a party's GET All, over all its pages."""
        found: list[Json] = []
        answer = await platform.send("GET", "SENDER", module, query, to=self.hub)
        while answer.code == 1000:
            found += answer.data
            following = next_url(answer)
            if following is None:
                return found
            answer = await platform.ask("GET", following, headers=pair("to", self.hub) | pair("from", platform.party))
        raise AssertionError(f"GET All of {module}: {answer.status} {answer.body!r}")

    async def eventually(self, look: Callable[[], Awaitable[T]], expected: T, seconds: float = 10.0) -> T:
        """What is seen once it is as expected, or when the time is up."""
        deadline = time.monotonic() + seconds
        while True:
            found = await look()
            if found == expected or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.05)

    def reached(self, correlation_id: str) -> dict[str, int]:
        """How many requests of a correlation id each platform got, those that got any."""
        counts = {platform.party: len(platform.got(correlation_id)) for platform in self.everyone}
        return {party: count for party, count in counts.items() if count}

    async def a_broadcast_location(self, **fields: Any) -> Json:
        """A Location of the first CPO that the hub holds and the eMSPs have."""
        location = a_location(self.cp1.party, **fields)
        correlation_id, _ = await self.push(self.cp1, "locations", location)
        await self.ms1.await_got(correlation_id)
        return location


def next_url(answer: Answer) -> str | None:
    """The next page's URL in a Link header."""
    link = answer.header("Link") or ""
    return link.partition("<")[2].partition(">")[0] if 'rel="next"' in link else None


def _code(number: int) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return letters[number // 676 % 26] + letters[number // 26 % 26] + letters[number % 26]


def token_header(token: str) -> dict[str, str]:
    """An Authorization header."""
    return {"Authorization": encoded(token)}
