"""How the suite operates a hub, which it knows otherwise by its versions URL only.

`Operator` is all that a hub has to offer beside OCPI. `own_hub` offers it for the hub of this repository, started from the
command line. Another hub is tested by naming a function of the same form: `CONFORMANCE_ADAPTER=package.module:function`.
"""

import asyncio
import contextlib
import importlib
import json
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
import asyncpg

_START_SECONDS: Final = 240.0
_STOP_SECONDS: Final = 40.0


@dataclass(frozen=True, slots=True)
class Profile:
    """The settings that a hub is started with; whole cases wait for the deadlines, so they are short."""

    name: str = "default"
    deadline_seconds: float = 4.0
    """Of every traffic class."""
    page_limit: int = 50
    """Most objects on one page of a list."""
    probe_seconds: float = 1.0
    """How often an offline platform is asked whether it is there."""
    idle_seconds: float = 5.0
    """How long a platform may give no sign of life before it is asked."""
    command_tokens: str = "own"
    """Whose tokens a START_SESSION or RESERVE_NOW may use: `own`, those of its sender, or `any`."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an invited partner is handed, and the operator's name for its platform."""

    versions_url: str
    token: str
    platform_id: str


class Operator(Protocol):
    """What an operator of the hub can do."""

    versions_url: str
    party: str
    """The hub's own country code and party id, as `NL/HUB`."""

    async def invite(self, party: str, roles: Sequence[str], platform_id: str = "") -> Invitation:
        """Invite a party; with a platform id it joins that platform, and the token is empty."""
        ...

    async def connect(self, versions_url: str, token: str, party: str, roles: Sequence[str]) -> str:
        """Let the hub register at a platform that has invited it; the id of that platform, empty if it failed."""
        ...

    async def suspend(self, platform_id: str) -> None:
        """Cut a platform off."""
        ...

    async def resume(self, platform_id: str) -> None:
        """Let a suspended platform in again."""
        ...

    async def rotate(self, platform_id: str) -> str:
        """Renew the tokens that the hub and a platform have of each other; a new token A where it is not registered."""
        ...


class OwnHub:
    """The operators' API of the hub of this repository."""

    def __init__(self, versions_url: str, admin_url: str, token: str, session: aiohttp.ClientSession) -> None:
        self.versions_url = versions_url
        self.party = "NL/HUB"
        self._admin_url = admin_url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session = session

    async def invite(self, party: str, roles: Sequence[str], platform_id: str = "") -> Invitation:
        body: dict[str, Any] = {"party": party, "roles": list(roles)}
        made = await self._do("/invitations", body | ({"platform_id": platform_id} if platform_id else {}))
        return Invitation(self.versions_url, made.get("token") or "", made["platform_id"])

    async def connect(self, versions_url: str, token: str, party: str, roles: Sequence[str]) -> str:
        body = {"url": versions_url, "token": token, "party": party, "roles": list(roles)}
        made = await self._do("/platforms", body, must=False)
        return str(made["platform"]["platform_id"]) if "platform" in made else ""

    async def suspend(self, platform_id: str) -> None:
        await self._do(f"/platforms/{platform_id}/suspend")

    async def resume(self, platform_id: str) -> None:
        await self._do(f"/platforms/{platform_id}/resume")

    async def rotate(self, platform_id: str) -> str:
        made = await self._do(f"/platforms/{platform_id}/rotate-token")
        return made.get("token") or ""

    async def _do(self, path: str, body: Any = None, *, must: bool = True) -> dict[str, Any]:
        async with self._session.post(f"{self._admin_url}{path}", json=body, headers=self._headers) as answer:
            text = await answer.text()
        if must and answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {text}")
        found: dict[str, Any] = json.loads(text)
        return found


@contextlib.asynccontextmanager
async def own_hub(profile: Profile, folder: Path) -> AsyncIterator[Operator]:
    """Run the hub of this repository until the end of the block.

    It brings Postgres and Kafka of its own, unless `CONFORMANCE_STORES` names the `hub.json` of another hub that runs here: then
    it uses that one's servers, in a database and under a topic prefix of its own.
    """
    words = [sys.executable, "-m", "infra.cli", "up", "--port", "0", "--data-dir", str(folder / "hub")]
    log = folder / "hub.log"
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=stderr, env=_environment(profile) | await _borrowed_stores()
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = (await process.stdout.readline()).decode()
        if not line.startswith("ready "):
            raise RuntimeError(f"the hub did not start:\n{log.read_text()[-2000:]}")
        urls = json.loads(line.removeprefix("ready "))
        token = (folder / "hub" / "operator-token").read_text().strip()
        async with aiohttp.ClientSession() as session:
            yield OwnHub(urls["versions_url"], urls["admin_url"], token, session)
    finally:
        await _end(process)


async def _borrowed_stores() -> dict[str, str]:
    file = os.environ.get("CONFORMANCE_STORES")
    if not file:
        return {}
    found = json.loads(Path(file).read_text())
    name = f"conformance_{uuid.uuid4().hex[:8]}"
    connection = await asyncpg.connect(found["postgres_url"])
    try:
        await connection.execute(f"create database {name}")
    finally:
        await connection.close()
    return {
        "HUB_POSTGRES_URL": re.sub(r"(//[^/]*/)[^?]*", rf"\g<1>{name}", found["postgres_url"], count=1),
        "HUB_KAFKA_BOOTSTRAP": found["kafka_bootstrap"],
        "HUB_TOPIC_PREFIX": f"{name}.",
    }


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.communicate(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.communicate()


def _environment(profile: Profile) -> dict[str, str]:
    seconds = str(profile.deadline_seconds)
    classes = ("START_BY", "AUTHORIZE", "COMMAND", "SINGLE", "PUSH", "LIST")
    settings = {f"HUB_{name}_SECONDS": seconds for name in classes} | {
        "HUB_PAGE_LIMIT": str(profile.page_limit),
        "HUB_PRESENCE_OFFLINE_SECONDS": str(profile.probe_seconds),
        "HUB_PRESENCE_IDLE_SECONDS": str(profile.idle_seconds),
        "HUB_COMMAND_TOKENS": profile.command_tokens,
        "HUB_TOPIC_PARTITIONS": "4",
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("HUB_")} | settings


Adapter = Callable[[Profile, Path], AbstractAsyncContextManager[Operator]]


def chosen_adapter() -> Adapter:
    """The adapter of the hub under test."""
    named = os.environ.get("CONFORMANCE_ADAPTER")
    if not named:
        return own_hub
    module, _, function = named.partition(":")
    adapter: Adapter = getattr(importlib.import_module(module), function)
    return adapter
