"""`make demo`: real platforms register at the hub and exchange real Dutch data, each part its own process.

Every statement that is printed was checked on what the partners received. A step that does not hold ends the demo with a
non-zero exit. `--raw` shows headers and bodies on each hop, `--keep` leaves everything running, `--port` chooses the hub's port.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import aiohttp

from infra.dev import demo_exchange, demo_meet, demo_return, demo_spread
from infra.dev.demo_rig import DemoFailedError, Platform, Stage, data_path, start

FOLDER: Final = Path(".demo")

CPOS: Final = {
    "cpo-north": ("NL/ALL", "NL/LNT"),
    "cpo-south": ("NL/NUO",),
    "cpo-mixed": ("NL/EFL", "NL/FLW", "BE/MBP", "NL/DAE", "NL/ENE"),
}
EMSPS: Final = {"emsp-one": ("NL/EM1",), "emsp-two": ("DE/EM2",), "emsp-three": ("FR/EM3",)}

STEPS: Final[tuple[tuple[str, Callable[[Stage], Awaitable[str]]], ...]] = (
    ("versions without a token, and with token A", demo_meet.versions_need_a_token),
    ("handshakes in both directions", demo_meet.handshakes),
    ("Tariffs and Locations to all", demo_spread.push_everything),
    ("an EVSE begins to charge", demo_spread.patch_one_evse),
    ("an eMSP pushes a Token", demo_spread.push_token),
    ("authorize, without naming the eMSP", demo_exchange.authorize),
    ("START_SESSION and its result", demo_exchange.start_session),
    ("a Session reaches the token's owner only", demo_exchange.session),
    ("a CDR and its Location", demo_exchange.cdr),
    ("the relay is killed while authorizations run", demo_exchange.kill_relay),
    ("the story of one message", demo_exchange.story),
    ("one eMSP is stopped", demo_return.stop_one),
    ("five days of changes, and the fan-out worker is killed twice", demo_return.replay),
    ("the eMSP returns", demo_return.come_back),
    ("GET All gives the same set", demo_return.get_all),
)


def main() -> int:
    """Run the demo; 0 when every step holds."""
    parser = argparse.ArgumentParser(prog="make demo", description="Platforms exchange real data through the hub.")
    parser.add_argument("--raw", action="store_true", help="show headers and bodies on each hop")
    parser.add_argument("--keep", action="store_true", help="leave everything running and print the URLs")
    parser.add_argument("--port", type=int, default=0, help="the hub's port; 0 takes a free one")
    return asyncio.run(_until_told(parser.parse_args()))


async def _until_told(options: argparse.Namespace) -> int:
    """Run the demo; SIGTERM and SIGHUP end it as Ctrl-C does, with everything that it started."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await _run(options)
    except asyncio.CancelledError:
        return 130


async def _run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    try:
        async with _stage(options) as stage:
            for number, (title, step) in enumerate(STEPS, 1):
                started = time.monotonic()
                say(f"{number:2d}  {title}")
                said = await step(stage)
                for line in said.splitlines():
                    say(f"      {line}")
                say(f"      holds, {time.monotonic() - started:.1f} s")
            say(f"\nall {len(STEPS)} steps hold, {time.monotonic() - began:.0f} s")
            if options.keep:
                await _keep(stage)
    except DemoFailedError as error:
        say(f"\nDOES NOT HOLD: {error}\nlogs: {FOLDER}/")
        return 1
    return 0


@contextlib.asynccontextmanager
async def _stage(options: argparse.Namespace) -> AsyncIterator[Stage]:
    """The hub and six platforms, started; stopped again in the opposite order."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o700)
    async with contextlib.AsyncExitStack() as stack:
        timeout = aiohttp.ClientTimeout(total=120)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        say("starting Postgres, Kafka and the hub (the first time, Kafka's jars are fetched) …")
        log = FOLDER / "hub.log"
        words = ("up", "--data-dir", str(FOLDER / "hub"), "--port", str(options.port))
        hub = await start("the hub", *words, log=log)
        stack.push_async_callback(hub.stop)
        stage = Stage(FOLDER, session, hub, options.raw)
        say("starting three CPO and three eMSP platforms …")
        made = await asyncio.gather(
            *(_platform(stage, name, "cpo", parties) for name, parties in CPOS.items()),
            *(_platform(stage, name, "emsp", parties) for name, parties in EMSPS.items()),
        )
        for platform in made:
            stack.push_async_callback(_stop, platform)
            stage.platforms[platform.name] = platform
        yield stage


async def _platform(stage: Stage, name: str, role: str, parties: tuple[str, ...]) -> Platform:
    words = ["simulate", role]
    for party in parties:
        words += ["--party", party]
    if role == "cpo":
        words += ["--load", data_path("wijchen-start.json.gz"), data_path("wijchen-tariffs.json.gz")]
    else:
        words += ["--state", str(stage.folder / f"{name}.json")]
    stage.words[name] = tuple(words)
    process = await start(name, *words, log=stage.folder / f"{name}.log")
    return Platform(name, role, parties, process, stage.session)


async def _stop(platform: Platform) -> None:
    """Stop the process that it is now: it may be another one than at the start."""
    await platform.process.stop()


async def _keep(stage: Stage) -> None:
    say(f"\nhub       {stage.hub.ready['versions_url']}\nadmin     {stage.hub.ready['admin_url']}")
    say(f"operate   hub status --data-dir {stage.data_dir}")
    for platform in stage.platforms.values():
        say(f"{platform.name:10s}{platform.process.ready['control_url']}  {', '.join(platform.parties)}")
    say("Ctrl-C stops everything")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def say(text: str) -> None:
    """Print one line of the demo."""
    print(text, flush=True)  # noqa: T201 - this is what the demo is for


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
