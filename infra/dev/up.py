"""`hub up`: the whole hub on this machine, each part its own process, out of one data directory.

The order of a start: Postgres and Kafka together, the schema and the topics, the workers and the HTTP process. It ends in
the opposite order, the HTTP process first. What `HUB_POSTGRES_URL` or `HUB_KAFKA_BOOTSTRAP` name is used instead of an
embedded part. Variables of the caller win over what is chosen here.
"""

import asyncio
import base64
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from hub.errors import ConfigurationError
from hub.settings import load_settings
from infra.dev import ports
from infra.dev.directory import check_space, claim, keep_private, locked, unwritable, write_private
from infra.dev.failures import EXIT_STOPPED, StartFailure
from infra.dev.kafka import Kafka
from infra.dev.plan import DRAIN_SECONDS, Address, Plan, hub_plan
from infra.dev.postgres import Postgres
from infra.dev.processes import run_once
from infra.dev.supervisor import Say, Supervisor, end_leftovers, say_on_stderr, together

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Planner = Callable[[Path, dict[str, str], Address], Plan]


async def up(
    data_dir: Path,
    port: int = 8080,
    host: str = "127.0.0.1",
    *,
    plan: Planner = hub_plan,
    say: Say = say_on_stderr,
) -> int:
    """Run the hub until SIGTERM, SIGINT or SIGHUP; returns the exit code (`infra.dev.failures`).

    Prints one line `ready {…}` to stdout when every part is ready. Port 0 means any free port.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is not ready yet is no news here
    stopping = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        path = claim(data_dir)
        with locked(path):
            await end_leftovers(path / "run", say)
            address = Address.of(os.environ, host, port)
            ports.require_free(address.host, address.port)
            async with Supervisor(path / "run", say) as supervisor:
                await _unless(stopping, _run(path, address, supervisor, plan, say))
                await stopping.wait()
                say("stopping")
    except StartFailure as failure:
        return _refuse(failure, say)
    except OSError as error:
        return _refuse(unwritable(error, data_dir), say)
    return EXIT_STOPPED


def _refuse(failure: StartFailure, say: Say) -> int:
    say(" ".join(str(failure).split()))
    return failure.exit_code


async def _run(path: Path, address: Address, supervisor: Supervisor, plan: Planner, say: Say) -> None:
    _check_settings()
    _keep_secrets(path)
    postgres_url, bootstrap = await _start_stores(path, supervisor, say)
    env = environment(path, address, postgres_url, bootstrap)
    planned = plan(path, env, address)
    await together(*(run_once(name, command) for name, command in planned.steps.items()))
    say("starting the hub")
    await together(supervisor.start(*planned.workers), supervisor.start(*planned.doors))
    urls = {
        "versions_url": f"{address.public_url}/ocpi/versions",
        "admin_url": f"{address.local_url}/admin/v1",
        "postgres_url": postgres_url,
        "kafka_bootstrap": bootstrap,
        "metrics": dict(planned.metrics),
    }
    token_file = str(Path(env["HUB_OPERATOR_TOKEN_FILE"]).absolute())
    write_private(path / "hub.json", json.dumps(urls | {"operator_token_file": token_file}, indent=2))
    sys.stdout.write(f"ready {json.dumps(urls)}\n")
    sys.stdout.flush()


async def _start_stores(path: Path, supervisor: Supervisor, say: Say) -> tuple[str, str]:
    """Start what the caller does not bring; returns the URL of Postgres and the bootstrap address of Kafka."""
    postgres_url, bootstrap = os.environ.get("HUB_POSTGRES_URL", ""), os.environ.get("HUB_KAFKA_BOOTSTRAP", "")
    postgres, kafka = Postgres(path, say), Kafka(path, say)

    missing = [store for store, given in ((postgres, postgres_url), (kafka, bootstrap)) if not given]
    if missing:
        check_space(path)
        await together(*(store.prepare() for store in missing))
        await supervisor.start(*(store.part() for store in missing))
        say(f"{' and '.join(type(store).__name__ for store in missing)} ready")
    return postgres_url or postgres.url, bootstrap or kafka.bootstrap


def environment(path: Path, address: Address, postgres_url: str, bootstrap: str) -> dict[str, str]:
    """The environment of every part: what is chosen here, except where the caller has set a variable."""
    chosen = {
        "HUB_POSTGRES_URL": postgres_url,
        "HUB_KAFKA_BOOTSTRAP": bootstrap,
        "HUB_HOST": address.host,
        "HUB_PORT": str(address.port),
        "HUB_PUBLIC_URL": address.public_url,
        "HUB_OPERATOR_TOKEN_FILE": str(path / "operator-token"),
        "HUB_SECRETS_KEY_FILE": str(path / "secrets.key"),
        "HUB_PARTNER_NETWORKS": "127.0.0.0/8,::1/128",
        "HUB_AGREEMENTS": "open",
        "HUB_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "PYTHONUNBUFFERED": "1",
    }
    return chosen | {name: value for name, value in os.environ.items() if value or name not in chosen}


def _check_settings() -> None:
    """Read the settings as every part will, before anything is started.

    Raises:
        StartFailure: one of them is wrong; the message names it.
    """
    try:
        load_settings()
    except ConfigurationError as error:
        raise StartFailure(str(error)) from error


def _keep_secrets(path: Path) -> None:
    """Make the operator's token and the secrets key once; a token of the environment becomes the one that is kept."""
    given = os.environ.get("HUB_OPERATOR_TOKEN")
    if given:
        write_private(path / "operator-token", f"{given}\n")
    keep_private(path / "operator-token", f"{secrets.token_urlsafe(32)}\n")
    keep_private(path / "secrets.key", f"{base64.b64encode(secrets.token_bytes(32)).decode()}\n")


async def _unless(stopping: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Do the work, but give it up as soon as the stop is asked for."""
    working, asked = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        working.cancel()
        await asyncio.wait({working})
    if not working.cancelled():
        working.result()
