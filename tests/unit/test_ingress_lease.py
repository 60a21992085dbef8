"""What an HTTP process takes while it cannot confirm its directory: it may not have heard of a suspension or a dead token."""

import json
import secrets
import time
from typing import Any

import pytest

from hub.api.auth import Gate
from hub.api.ingress import OLDEST_DIRECTORY_SECONDS, Ingress
from hub.messaging.outcomes import Outcomes
from hub.messaging.producer import Producer
from hub.messaging.rpc import Rpc
from hub.messaging.topics import Topics
from hub.model.directory import Directory, InboundToken, TokenKind
from hub.ocpi.parties import Role
from hub.ocpi.status import LOG_UNAVAILABLE, STORE_UNAVAILABLE
from hub.settings import Settings
from hub.store.directory import LEASE_SECONDS, DirectoryKeeper
from hub.store.pool import Store
from hub.store.secrets import Secrets
from tests.unit.ocpi_objects import a_location
from tests.unit.routing_objects import CPO, EMSP, HUB, a_platform

_TOKEN = "cpo-token"
_TO_ALL = "PUT", "receiver/locations/NL/CP1/LOC1", a_location(country_code="NL", party_id="CP1", id="LOC1")
_TO_ONE = "POST", "receiver/commands/STOP_SESSION", {"session_id": "S1", "response_url": "https://p1.test/cb"}


async def _no_use(_platform_id: str, _token_hash: bytes) -> None:
    raise AssertionError("no token was replaced")


def _an_ingress(directory_age_seconds: float) -> Ingress:
    """One without Kafka, whose directory was last confirmed that long ago."""
    keys = Secrets(secrets.token_bytes(32))
    platforms = {
        entry.platform_id: entry for entry in (a_platform("p1", (CPO, Role.CPO)), a_platform("p2", (EMSP, Role.EMSP)))
    }
    token = InboundToken("p1", TokenKind.ACCESS, None)
    keeper = DirectoryKeeper(Store(None), keys, hub_party=HUB, agreements="open", process_id="x", name="serve")
    keeper._current = Directory.build(1, HUB, "open", platforms, {keys.hash_inbound(_TOKEN): token}, 0.0)
    keeper._leased_until = time.monotonic() + LEASE_SECONDS - directory_age_seconds
    topics, log = Topics(), Producer.durable("127.0.0.1:1")
    return Ingress(
        settings=Settings(),
        gate=Gate(keeper, keys, _no_use),
        keeper=keeper,
        topics=topics,
        durable=log,
        rpc=Rpc("127.0.0.1:1", topics, log, slot=0, most_waiting=1),
        outcomes=Outcomes(log, topics),
        local={},
    )


async def _ask(ingress: Ingress, method: str, path: str, value: Any) -> str:
    """What the status message of the answer is."""
    told: list[Any] = []
    parties = {b"ocpi-from-country-code": b"NL", b"ocpi-from-party-id": b"CP1"}
    if (method, path) == _TO_ONE[:2]:
        parties |= {b"ocpi-to-country-code": b"DE", b"ocpi-to-party-id": b"MS1"}
    scope = {
        "type": "http",
        "method": method,
        "raw_path": f"/ocpi/2.2.1/{path}".encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Token {_TOKEN}".encode()), *parties.items()],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(value).encode(), "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    await ingress(scope, receive, send)
    return str(json.loads(told[1]["body"])["status_message"])


@pytest.mark.parametrize(
    ("age", "to_one", "to_all"),
    [
        (0.0, LOG_UNAVAILABLE.message, "The hub cannot take messages"),
        (LEASE_SECONDS + 1, STORE_UNAVAILABLE.message, "The hub cannot take messages"),
        (OLDEST_DIRECTORY_SECONDS + 1, STORE_UNAVAILABLE.message, STORE_UNAVAILABLE.message),
    ],
)
async def test_requests_to_one_party_end_with_the_lease_and_pushes_for_all_ten_minutes_after(
    age: float, to_one: str, to_all: str
) -> None:
    """The log is away too, so that what is let in shows by that reason."""
    ingress = _an_ingress(age)
    assert to_one in await _ask(ingress, *_TO_ONE)
    assert to_all in await _ask(ingress, *_TO_ALL)
