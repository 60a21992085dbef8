"""The table of topics: from it they are created, and against it a start compares the broker."""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from hub.errors import ConfigurationError, LogUnavailable

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS
_ADMIN_TIMEOUT_MS: Final = 15_000
_LOOK_SECONDS: Final = 0.05
_LOOKS: Final = 200


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic: its partitions in production, how long records are kept and what a record may weigh."""

    name: str
    partitions: int
    retention_ms: int
    segment_ms: int = _DAY_MS
    largest_record_bytes: int = 9 * 2**20

    def config(self) -> dict[str, str]:
        """The broker's settings of this topic."""
        return {
            "retention.ms": str(self.retention_ms),
            "segment.ms": str(self.segment_ms),
            "max.message.bytes": str(self.largest_record_bytes),
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "delete",
        }


REQUESTS: Final = TopicSpec("ocpi.requests.v1", 24, _DAY_MS)
BULK_REQUESTS: Final = TopicSpec("ocpi.bulk-requests.v1", 12, _DAY_MS)
REPLIES: Final = TopicSpec("ocpi.replies.v1", 64, 10 * _MINUTE_MS, 5 * _MINUTE_MS)
BULK_REPLIES: Final = TopicSpec("ocpi.bulk-replies.v1", 16, 10 * _MINUTE_MS, 5 * _MINUTE_MS, 17 * 2**20)
PUSHES: Final = TopicSpec("ocpi.pushes.v1", 24, 7 * _DAY_MS)
OUTCOMES: Final = TopicSpec("ocpi.outcomes.v1", 12, 3 * _DAY_MS)
DEAD_LETTERS: Final = TopicSpec("ocpi.dead-letters.v1", 6, 30 * _DAY_MS, largest_record_bytes=17 * 2**20)

TOPICS: Final = (REQUESTS, BULK_REQUESTS, REPLIES, BULK_REPLIES, PUSHES, OUTCOMES, DEAD_LETTERS)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one installation: with its prefix, and with one partition count for all where tests want that."""

    prefix: str = ""
    partition_override: int = 0
    replication: int = 1

    def name(self, spec: TopicSpec) -> str:
        """The topic's name on the broker."""
        return f"{self.prefix}{spec.name}"

    def group(self, worker: str) -> str:
        """The consumer group of a worker."""
        return f"{self.prefix}hub-{worker}"

    def partitions(self, spec: TopicSpec) -> int:
        """How many partitions the topic has here."""
        return self.partition_override or spec.partitions

    async def apply(self, bootstrap: str) -> list[str]:
        """Create the topics that are missing and set every topic's settings; returns the names created.

        Raises:
            LogUnavailable: the broker does not answer.
            ConfigurationError: a topic exists with another partition count.
        """
        admin = await _admin(bootstrap)
        try:
            missing = [spec for spec in TOPICS if self.name(spec) not in await _partition_counts(admin)]
            if missing:
                await _create(admin, [self._new_topic(spec) for spec in missing])
                await _until_known(admin, [self.name(spec) for spec in missing])
            await admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, self.name(spec), self._config(spec)) for spec in TOPICS]
            )
            self._compare(await _partition_counts(admin))
        except KafkaError as error:
            raise LogUnavailable(f"Kafka at {bootstrap}: {error}") from error
        finally:
            await admin.close()
        return [self.name(spec) for spec in missing]

    async def check(self, bootstrap: str) -> None:
        """Refuse a broker that lacks a topic or holds it with another partition count.

        Raises:
            LogUnavailable: the broker does not answer.
            ConfigurationError: the topics differ from the table; the message says how.
        """
        admin = await _admin(bootstrap)
        try:
            self._compare(await _partition_counts(admin))
        except KafkaError as error:
            raise LogUnavailable(f"Kafka at {bootstrap}: {error}") from error
        finally:
            await admin.close()

    async def delete(self, bootstrap: str) -> None:
        """Delete every topic of this installation (tests)."""
        admin = await _admin(bootstrap)
        try:
            held = await _partition_counts(admin)
            await admin.delete_topics([self.name(spec) for spec in TOPICS if self.name(spec) in held])
        finally:
            await admin.close()

    def _new_topic(self, spec: TopicSpec) -> NewTopic:
        return NewTopic(self.name(spec), self.partitions(spec), self.replication, topic_configs=self._config(spec))

    def _config(self, spec: TopicSpec) -> dict[str, str]:
        if self.replication < 3:
            return spec.config()
        return spec.config() | {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}

    def _compare(self, counts: dict[str, int]) -> None:
        for spec in TOPICS:
            held, wanted = counts.get(self.name(spec)), self.partitions(spec)
            if held is None:
                raise ConfigurationError(f"topic {self.name(spec)} is missing: run `hub topics apply`")
            if held != wanted:
                raise ConfigurationError(
                    f"topic {self.name(spec)} has {held} partitions, the settings say {wanted}: keys would move"
                    " between partitions; set HUB_TOPIC_PARTITIONS to what the broker has"
                )


async def _admin(bootstrap: str) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_ADMIN_TIMEOUT_MS)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await admin.close()
        raise LogUnavailable(f"Kafka at {bootstrap}: {error}") from error
    return admin


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics()}


async def _until_known(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """A broker answers that it made a topic before it shows it."""
    for _ in range(_LOOKS):
        if set(names) <= (await _partition_counts(admin)).keys():
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    response = await admin.create_topics(topics, timeout_ms=_ADMIN_TIMEOUT_MS)
    for topic_error in response.topic_errors:
        name, code = topic_error[0], topic_error[1]
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise ConfigurationError(f"topic {name} cannot be created: {for_code(code).__name__}")
