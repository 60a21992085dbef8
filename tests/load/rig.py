"""The hub under test and everything around it as real processes; all of them end with the block that started them."""

import asyncio
import base64
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg

from tests.load.measure import parts_of
from tests.load.wire import Caller, request

_START_SECONDS: Final = 180.0
HUB_PARTY: Final = "NL/HUB"


@contextlib.asynccontextmanager
async def process(*words: str, log: Path, cwd: Path | None = None) -> AsyncIterator[tuple[int, str]]:
    """Run a program until the end of the block; gives its process id and what stood behind `ready` on its first line."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    with log.open("ab") as stderr:
        running = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=stderr, env=env, cwd=cwd
        )
    assert running.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = (await running.stdout.readline()).decode()
        if not line.startswith("ready"):
            raise RuntimeError(f"{' '.join(words[:4])} did not start:\n{log.read_text()[-2000:]}")
        yield running.pid, line.removeprefix("ready").strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        try:
            await asyncio.wait_for(running.wait(), 25)
        except TimeoutError:
            running.kill()
            await running.wait()


@dataclass(frozen=True, slots=True)
class Spec:
    """A platform to be: its parties share one role; `receives` are the modules it has a Receiver endpoint for."""

    name: str
    role: str
    parties: tuple[str, ...]
    receives: tuple[str, ...] = ()
    keeps: bool = False


@dataclass
class Platform:
    """A registered platform and the lines with which its parties' requests begin."""

    spec: Spec
    url: str
    control: Caller = field(repr=False)
    token: str = ""
    platform_id: str = ""

    def headers(self, party: str, to: str | None = HUB_PARTY) -> str:
        """Token and routing headers."""
        lines = f"Authorization: Token {base64.b64encode(self.token.encode()).decode()}\r\n" + _pair("from", party)
        return lines + (_pair("to", to) if to else "")

    async def order(self, order: str, body: str = "") -> Any:
        """Have the scripted platform do or tell something."""
        answer = await self.control.ask(request("POST", f"/{self.spec.name}/{order}", "", body.encode()))
        return json.loads(answer.body)


def _pair(side: str, party: str) -> str:
    country_code, party_id = party.split("/")
    return f"OCPI-{side}-country-code: {country_code}\r\nOCPI-{side}-party-id: {party_id}\r\n"


@dataclass(frozen=True, slots=True)
class Hub:
    """A running `hub up`."""

    url: str
    postgres_url: str
    kafka_bootstrap: str
    operator_token: str
    data_dir: Path
    session: aiohttp.ClientSession

    @property
    def parts(self) -> dict[str, int]:
        """Process ids by name, as they are now."""
        return parts_of(self.data_dir)

    async def operate(self, method: str, path: str, body: Any = None) -> Any:
        """Use the operators' API."""
        headers = {"Authorization": f"Bearer {self.operator_token}"}
        url = f"{self.url}/admin/v1{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            assert answer.status < 300, f"{method} {path}: {await answer.text()}"
            return await answer.json()

    async def value(self, sql: str, *arguments: object) -> Any:
        """One value from the database."""
        connection = await asyncpg.connect(self.postgres_url)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    async def register(self, platform: Platform) -> None:
        """Invite every party and let the platform register, as partners do."""
        spec, roles = platform.spec, [platform.spec.role]
        invited = await self.operate(
            "POST", "/invitations", {"party": spec.parties[0], "roles": roles, "name": spec.name}
        )
        for party in spec.parties[1:]:
            bound = {"party": party, "roles": roles, "platform_id": invited["platform_id"]}
            await self.operate("POST", "/invitations", bound)
        credentials = {
            "token": f"load~{spec.name}",
            "url": f"{platform.url}/ocpi/versions",
            "roles": [_role(spec.role, party) for party in spec.parties],
        }
        shown = {"Authorization": f"Token {base64.b64encode(invited['token'].encode()).decode()}"}
        url = f"{self.url}/ocpi/2.2.1/credentials"
        async with self.session.post(url, json=credentials, headers=shown) as answer:
            given = await answer.json()
        assert given["status_code"] == 1000, f"{spec.name}: {given}"
        platform.token, platform.platform_id = given["data"]["token"], invited["platform_id"]

    def faults(self) -> list[str]:
        """Every line in the logs of the hub's processes that speaks of a fault of the hub itself."""
        signs = ("Traceback", '"level": "error"', '"level": "critical"', "never retrieved")
        logs = [self.data_dir / "log" / f"{name}.log" for name in self.parts if name not in {"postgres", "kafka"}]
        lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
        return [line for line in lines if any(sign in line for sign in signs)]


def _role(role: str, party: str) -> dict[str, Any]:
    country_code, party_id = party.split("/")
    details = {"name": f"Partner {party_id}"}
    return {"role": role, "country_code": country_code, "party_id": party_id, "business_details": details}


@contextlib.asynccontextmanager
async def a_hub(folder: Path) -> AsyncIterator[Hub]:
    """Run a whole hub in a folder until the end of the block."""
    words = [sys.executable, "-m", "infra.cli", "up", "--port", "0", "--data-dir", str(folder / "hub")]
    async with process(*words, log=folder / "hub.log") as (_, ready), aiohttp.ClientSession() as session:
        urls = json.loads(ready)
        token = (folder / "hub" / "operator-token").read_text().strip()
        url = urls["versions_url"].removesuffix("/ocpi/versions")
        yield Hub(url, urls["postgres_url"], urls["kafka_bootstrap"], token, folder / "hub", session)


@contextlib.asynccontextmanager
async def platforms(specs: Sequence[Spec], folder: Path) -> AsyncIterator[tuple[int, dict[str, Platform]]]:
    """Run scripted platforms, all in one process; gives its id and them by name. They are not registered yet."""
    text = json.dumps([{"name": spec.name, "receives": spec.receives, "keeps": spec.keeps} for spec in specs])
    words = [sys.executable, "-m", "tests.load.partners", text]
    async with process(*words, log=folder / "partners.log") as (pid, ready):
        places = json.loads(ready)
        control = await Caller.open(places["control"])
        try:
            yield pid, {spec.name: Platform(spec, places["urls"][spec.name], control) for spec in specs}
        finally:
            control.close()
