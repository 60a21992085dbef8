"""The simulator as its own process: ready line, signals, start against a hub, state over a restart, errors in one line."""

import asyncio
import contextlib
import json
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.partner_rig import a_location, a_partner, a_tariff, eventually

ROOT = Path(__file__).parents[2]


async def started(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.dev.partner",
        *map(str, arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def a_process(*arguments: object) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await started(*arguments)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        assert line.startswith(b"ready "), line
        yield process, json.loads(line.removeprefix(b"ready "))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 10)


async def ask(session: aiohttp.ClientSession, method: str, url: str, order: Any = None) -> Any:
    async with session.request(method, url, json=order) as response:
        return await response.json()


async def test_process_says_ready_serves_and_stops_with_exit_code_0() -> None:
    async with aiohttp.ClientSession() as session:
        async with a_process("--role", "cpo", "--party", "NL/CPO") as (process, ready):
            assert ready["versions_url"].startswith("http://127.0.0.1:")
            assert ready["token"]
            state = await ask(session, "GET", ready["control_url"] + "/state")
            assert (state["parties"], state["registered"]) == (["NL/CPO"], False)
        assert process.returncode == 0


async def test_process_registers_on_start_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "partner.json"
    (tmp_path / "own.json").write_text(json.dumps([a_location()]))
    async with a_partner("emsp", "NL/MSP") as emsp, aiohttp.ClientSession() as session:
        arguments = ["--role", "cpo", "--party", "NL/CPO", "--state", state, "--load", tmp_path / "own.json"]
        arguments += ["--hub-versions-url", emsp.partner.versions_url, "--hub-token", emsp.partner.token]
        async with a_process(*arguments) as (_, before):
            await emsp.send("PUT", "tokens", "NL/MSP/1", to="NL/CPO", raw='{"uid": "1.0"}')
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        async with a_process(*arguments) as (_, after):
            assert after["versions_url"] == before["versions_url"]
            (held,) = await ask(session, "GET", after["control_url"] + "/store/tokens")
            assert held["object"] == {"uid": "1.0"}
            assert (await emsp.send("GET", "versions"))["status"] == 200
            order = {"module": "locations", "to": "NL/MSP"}
            assert (await ask(session, "POST", after["control_url"] + "/push_all", order))["accepted"] == 1


async def test_killed_process_still_has_the_tokens_of_its_handshake(tmp_path: Path) -> None:
    state = tmp_path / "partner.json"
    async with a_partner("emsp", "NL/MSP") as emsp, aiohttp.ClientSession() as session:
        arguments = ["--role", "cpo", "--party", "NL/CPO", "--state", state]
        async with a_process(*arguments) as (process, ready):
            order = {"versions_url": emsp.partner.versions_url, "token": emsp.partner.token}
            await ask(session, "POST", ready["control_url"] + "/register", order)

            async def saved() -> bool:
                return "outbound_token" in state.read_text()

            await eventually(saved)
            process.kill()
            await process.wait()
        async with a_process(*arguments):
            assert (await emsp.send("GET", "versions"))["status"] == 200


async def test_process_tries_again_while_the_hub_is_not_ready() -> None:
    async with a_partner("emsp", "NL/MSP") as emsp:
        await emsp.fault("503", module="versions", times=2)
        arguments = ["--role", "cpo", "--party", "NL/CPO", "--hub-token", emsp.partner.token]
        async with a_process(*arguments, "--hub-versions-url", emsp.partner.versions_url):
            assert (await emsp.get("/state"))["registered"]


async def test_process_that_the_hub_refuses_ends_with_one_line() -> None:
    async with a_partner("emsp", "NL/MSP") as emsp:
        arguments = ["--role", "cpo", "--party", "NL/CPO", "--hub-token", "wrong"]
        process = await started(*arguments, "--hub-versions-url", emsp.partner.versions_url)
        output, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, output) == (1, b"")
    assert errors.startswith(b"partner: GET versions failed: HTTP 401")
    assert errors.count(b"\n") == 1


async def test_process_stops_while_it_waits_for_a_hub() -> None:
    async with a_partner("emsp", "NL/MSP") as emsp:
        await emsp.fault("hang")
        arguments = ["--role", "cpo", "--party", "NL/CPO", "--hub-token", emsp.partner.token]
        process = await started(*arguments, "--hub-versions-url", emsp.partner.versions_url)
        await eventually(emsp.received)
        process.send_signal(signal.SIGTERM)
        output, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, output, errors) == (0, b"", b"")


async def test_wrong_start_is_one_line_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[1]")
    for arguments, code, told in (
        (["--role", "cpo", "--party", "Netherlands"], 2, b"like NL/ABC"),
        (["--role", "cpo", "--party", "NL/CPO", "--hub-token", "x"], 2, b"go together"),
        (["--role", "cpo", "--party", "NL/CPO", "--load", tmp_path / "bad.json"], 1, b"bad.json"),
        (["--role", "cpo", "--party", "NL/CPO", "--load", tmp_path / "none.json"], 1, b"none.json"),
    ):
        process = await started(*arguments)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        assert (process.returncode, told in errors.splitlines()[-1]) == (code, True), errors


async def test_store_survives_byte_for_byte(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    async with a_partner("cpo", "NL/CPO", state=state) as cpo:
        await cpo.post("/own", [a_tariff()])
        before = await cpo.get("/own/tariffs")
    async with a_partner("cpo", "NL/CPO", state=state) as cpo:
        assert await cpo.get("/own/tariffs") == before
