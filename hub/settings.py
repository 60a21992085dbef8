"""Every `HUB_*` setting, its default and its meaning; `hub settings` prints this list."""

import os
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hub.errors import ConfigurationError
from hub.ocpi.modules import TrafficClass
from hub.ocpi.parties import PartyId


class Settings(BaseSettings):
    """What a process is told from outside, by environment variables."""

    model_config = SettingsConfigDict(env_prefix="HUB_", frozen=True, extra="ignore")

    public_url: str = Field("http://127.0.0.1:8080", description="Base URL under which partners reach the hub")
    party: str = Field("NL/HUB", description="The hub's own country code and party id")
    party_name: str = Field("OCPI roaming hub", description="The hub's name in its credentials")
    host: str = Field("127.0.0.1", description="Address that the HTTP process listens on")
    port: int = Field(8080, description="Port that the HTTP process listens on")

    postgres_url: str = Field("", description="Postgres to use, for example postgresql://user:password@host/hub")
    postgres_pool: int = Field(8, ge=2, description="Most Postgres connections of one process")
    kafka_bootstrap: str = Field("", description="Kafka brokers to use, host:port, separated by commas")
    topic_prefix: str = Field("", description="Put before every topic name and consumer group")
    topic_partitions: int = Field(0, ge=0, description="Partitions of every topic; 0 means the table's own counts")
    topic_replication: int = Field(1, ge=1, description="Replication factor of every topic")

    operator_token: str = Field("", description="Token that the admin API accepts", repr=False)
    operator_token_file: Path | None = Field(None, description="File that holds the operator token")
    secrets_key: str = Field("", description="Base64 of 32 bytes: encrypts outbound tokens, keys hashes", repr=False)
    secrets_key_file: Path | None = Field(None, description="File that holds the secrets key")
    admin_url: str = Field("", description="Admin API that the command line talks to")

    agreements: Literal["open", "explicit"] = Field(
        "explicit", description="open: every pair of opposite roles may exchange everything"
    )
    command_tokens: Literal["any", "own"] = Field(
        "any",
        description="own: START_SESSION and RESERVE_NOW are refused with a token of another party than the sender",
    )
    partner_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="CIDRs that partner URLs may resolve to beside the public internet, separated by commas"
    )

    largest_body_bytes: int = Field(
        8 * 2**20, ge=1024, le=8 * 2**20, description="Largest request body that is accepted; a record holds 8 MiB"
    )
    largest_answer_bytes: int = Field(
        16 * 2**20,
        ge=1024,
        le=16 * 2**20,
        description="Largest answer of a partner that is read; a record holds 16 MiB",
    )
    page_limit: int = Field(1000, ge=1, description="Most objects on one page of a list")

    start_by_seconds: float = Field(2.0, gt=0, description="A request is never sent to a partner later than this")
    authorize_seconds: float = Field(5.0, gt=0, description="Deadline of an authorization")
    command_seconds: float = Field(15.0, gt=0, description="Deadline of commands and charging profiles")
    single_seconds: float = Field(15.0, gt=0, description="Deadline of a GET of one object")
    push_seconds: float = Field(15.0, gt=0, description="Deadline of a push to one party, and of a delivery")
    list_seconds: float = Field(30.0, gt=0, description="Deadline of a GET of a list from one party")
    authorize_fallback: Literal["deny", "offline"] = Field(
        "deny",
        description="When a known token's eMSP is away or silent. deny: 4003 or 4002; offline: a valid token is ALLOWED"
        " by the hub, unless its whitelist is NEVER",
    )
    callback_seconds: float = Field(86_400.0, gt=0, description="How long an issued response_url can be used")

    relay_concurrency: int = Field(
        256, ge=1, description="Calls under way from one relay to one platform, per traffic class"
    )
    receiver_concurrency: int = Field(8, ge=1, description="Requests in flight to one receiver, in all workers")
    receiver_budget_bytes: int = Field(
        16 * 2**20,
        ge=2**16,
        description="What may wait for one receiver in one worker; beyond it is marked, sent later as it then is",
    )
    waiting_requests: int = Field(2000, ge=1, description="Most callers that one HTTP process lets wait")

    drain_seconds: float = Field(
        25.0, gt=0, description="How long a worker that is told to stop finishes what it has begun"
    )

    presence_idle_seconds: float = Field(
        45.0, gt=0, description="A platform that gave no sign of life for this long is asked whether it is there"
    )
    presence_offline_seconds: float = Field(
        3.0, gt=0, description="How often a platform is asked that is offline or in trouble"
    )
    presence_timeout_seconds: float = Field(
        4.0, gt=0, description="How long a platform may take to answer when the hub asks whether it is there"
    )

    token_days: float = Field(
        0.0, ge=0, description="Age in days at which the hub renews its tokens with a platform by itself; 0 means never"
    )

    log_level: str = Field("INFO", description="Least severe log level that is written")
    trace_partners: bool = Field(False, description="Show partners the trace of a message in the header traceparent")
    metrics_port: int = Field(0, ge=0, description="Port for a worker's /metrics and /health; 0 means none")
    ready_file: Path | None = Field(None, description="File that a process makes when it is ready")
    exchange_retention_days: int = Field(30, ge=1, description="Days that outcomes stay searchable")

    @field_validator("partner_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("partner_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            ip_network(part)
        return value

    @field_validator("party")
    @classmethod
    def _is_party(cls, value: str) -> str:
        return str(PartyId.parse(value))

    @field_validator("public_url", "admin_url")
    @classmethod
    def _no_final_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @cached_property
    def hub_party(self) -> PartyId:
        """The hub's own address."""
        return PartyId.parse(self.party)

    @cached_property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """`partner_networks` parsed."""
        return tuple(ip_network(part) for part in self.partner_networks)

    @property
    def ocpi_url(self) -> str:
        """Where the OCPI URLs of the hub begin."""
        return f"{self.public_url}/ocpi"

    def deadline_seconds(self, traffic: TrafficClass) -> float:
        """The deadline of a traffic class (D-07)."""
        seconds = getattr(self, f"{traffic.value}_seconds")
        assert isinstance(seconds, float)
        return seconds

    def read_operator_token(self) -> str:
        """The operator token, from its setting or its file.

        Raises:
            ConfigurationError: neither is set, or the file cannot be read.
        """
        return _secret("operator token", self.operator_token, self.operator_token_file, "HUB_OPERATOR_TOKEN")

    def read_secrets_key(self) -> str:
        """The secrets key, from its setting or its file.

        Raises:
            ConfigurationError: neither is set, or the file cannot be read.
        """
        return _secret("secrets key", self.secrets_key, self.secrets_key_file, "HUB_SECRETS_KEY")

    def require(self, name: str) -> str:
        """The value of a setting that this process cannot do without.

        Raises:
            ConfigurationError: it is empty.
        """
        value = str(getattr(self, name))
        if not value:
            raise ConfigurationError(f"HUB_{name.upper()} is not set")
        return value


def _secret(what: str, value: str, path: Path | None, variable: str) -> str:
    if value:
        return value
    if path is None:
        raise ConfigurationError(f"no {what}: set {variable} or {variable}_FILE")
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"the {what} file {path} cannot be read: {error.strerror}") from error


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigurationError: a value is wrong; the message names the variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"HUB_{first['loc'][0]!s}".upper()
        raise ConfigurationError(f"{name}={os.environ.get(name, '')!r}: {first['msg']}") from error
