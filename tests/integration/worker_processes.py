"""Workers as real processes of their own: started until they are ready, ended with SIGKILL."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from hub.messaging.topics import Topics
from tests.integration.partner_rig import eventually


def worker_env(database_url: str, bootstrap: str, topics: Topics, secrets_key: str) -> dict[str, str]:
    """The environment of a worker of this hub, in which everyone may exchange everything with everyone on this machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HUB_")} | {
        "HUB_POSTGRES_URL": database_url,
        "HUB_KAFKA_BOOTSTRAP": bootstrap,
        "HUB_TOPIC_PREFIX": topics.prefix,
        "HUB_TOPIC_PARTITIONS": str(topics.partition_override),
        "HUB_SECRETS_KEY": secrets_key,
        "HUB_AGREEMENTS": "open",
        "HUB_PARTNER_NETWORKS": "127.0.0.0/8",
    }


@dataclass
class Workers:
    """One database, and as many workers as are started."""

    database_url: str
    env: dict[str, str]
    folder: Path
    processes: list[asyncio.subprocess.Process] = field(default_factory=list, init=False)
    logs: list[Path] = field(default_factory=list, init=False)

    async def start_worker(self, name: str, **settings: str) -> asyncio.subprocess.Process:
        """Start a worker and wait until it is ready."""
        number = len(self.processes)
        ready = self.folder / f"{name}-{number}.ready"
        self.logs.append(self.folder / f"{name}-{number}.log")
        with self.logs[number].open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "infra.cli", "worker", name),
                env=self.env | {"HUB_READY_FILE": str(ready)} | settings,
                stderr=log,
            )
        self.processes.append(process)

        async def is_ready() -> bool:
            assert process.returncode is None, self.logged(number)
            return ready.exists()

        await eventually(is_ready, 30)
        return process

    async def kill(self, number: int = -1) -> None:
        """End a worker with SIGKILL."""
        process = self.processes[number]
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()

    async def kill_all(self) -> None:
        """End every worker with SIGKILL."""
        for number in range(len(self.processes)):
            await self.kill(number)

    def logged(self, number: int = 0) -> str:
        """What a worker wrote to its log."""
        return self.logs[number].read_text()
