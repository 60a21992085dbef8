"""Which versions a caller is shown: all before it chose one, the agreed one afterwards (D-16)."""

import json

import pytest
from starlette.requests import Request

from hub.api.auth import Caller
from hub.api.versions import Versions
from hub.model.directory import InboundToken, OutboundToken, Platform, PlatformStatus, TokenKind

OFFERED = ("2.1.1", "2.2.1", "2.3.0")


async def listed(kind: TokenKind, status: PlatformStatus, version: str | None) -> list[str]:
    """The versions that a caller sees, where the hub speaks three."""
    platform = Platform("p", "p", status, version, None, {}, (), OutboundToken("token"))
    caller = Caller(platform, InboundToken("p", kind, None), b"", "token")
    request = Request({"type": "http", "method": "GET", "path": "/ocpi/versions", "headers": []})
    answer = await Versions("https://hub.test/ocpi", OFFERED).list_versions(request, caller)
    entries = json.loads(bytes(answer.body))["data"]
    assert [entry["url"] for entry in entries] == [f"https://hub.test/ocpi/{entry['version']}" for entry in entries]
    return [entry["version"] for entry in entries]


@pytest.mark.parametrize("version", OFFERED)
async def test_a_registered_platform_sees_the_version_agreed_on(version: str) -> None:
    assert await listed(TokenKind.ACCESS, PlatformStatus.CONNECTED, version) == [version]


@pytest.mark.parametrize(
    ("kind", "status", "version"),
    [
        (TokenKind.REGISTRATION, PlatformStatus.INVITED, None),
        (TokenKind.REGISTRATION, PlatformStatus.UNREGISTERED, "2.2.1"),
        (TokenKind.ACCESS, PlatformStatus.INVITED, None),
        (TokenKind.ACCESS, PlatformStatus.CONNECTED, "9.9"),
    ],
    ids=["invited", "registers anew", "called back while the hub registers", "agreed on what is offered no more"],
)
async def test_a_platform_that_may_still_choose_sees_all(
    kind: TokenKind, status: PlatformStatus, version: str | None
) -> None:
    assert await listed(kind, status, version) == list(OFFERED)
