"""What outlives a restart: tokens, the peer, the port, and the objects of both stores, in one JSON file of mode 0600."""

import asyncio
import os
import time
from pathlib import Path

import msgspec

from infra.dev.partner.connection import Peer
from infra.dev.partner.platform import Platform
from infra.dev.partner.store import Held, Name, Store
from infra.dev.partner.wire import encode
from infra.dev.partner.words import Interface


class _Object(msgspec.Struct):
    receiver: str
    parts: list[str]
    as_put: bool
    object: msgspec.Raw


class _Endpoint(msgspec.Struct):
    module: str
    interface: Interface
    url: str


class _Peer(msgspec.Struct):
    versions_url: str
    outbound_token: str
    credentials_url: str
    endpoints: list[_Endpoint]
    roles: list[msgspec.Raw]


class _State(msgspec.Struct):
    port: int
    invitation: str | None
    inbound: str | None
    peer: _Peer | None
    own: dict[str, list[_Object]]
    received: dict[str, list[_Object]]


def save(platform: Platform, path: Path, port: int) -> None:
    """Write the state; a reader sees the old file or the new one, never half of one."""
    connection = platform.connection
    state = _State(
        port,
        connection.invitation,
        connection.inbound,
        _peer(connection.peer),
        _objects(platform.own),
        _objects(platform.received),
    )
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(state))
    beside.replace(path)


def restore(platform: Platform, path: Path) -> int:
    """Read the state back and give the port that it was used on; 0 where there is no file yet.

    Raises:
        ValueError: the file is not one of ours.
    """
    try:
        state = msgspec.json.decode(path.read_bytes(), type=_State)
    except FileNotFoundError:
        return 0
    except (msgspec.DecodeError, OSError) as error:
        raise ValueError(f"{path} cannot be read as state: {error}") from error
    platform.connection.invitation, platform.connection.inbound = state.invitation, state.inbound
    if state.peer is not None:
        platform.connection.peer = Peer(
            state.peer.versions_url,
            state.peer.outbound_token,
            {(one.module, one.interface): one.url for one in state.peer.endpoints},
            state.peer.credentials_url,
            [msgspec.json.decode(role) for role in state.peer.roles],
        )
    _take(platform.own, state.own)
    _take(platform.received, state.received)
    return state.port


async def keep(platform: Platform, path: Path, port: int) -> None:
    """Save at once when tokens change, and soon after objects did; the larger the state, the more seldom."""
    saved, pause_s = -1, 1.0
    changed = platform.connection.changed
    while True:
        try:
            await asyncio.wait_for(changed.wait(), pause_s)
        except TimeoutError:
            if platform.own.changes + platform.received.changes == saved:
                continue
        changed.clear()
        saved = platform.own.changes + platform.received.changes
        started = time.perf_counter()
        save(platform, path, port)
        pause_s = max(1.0, 20 * (time.perf_counter() - started))


def _peer(peer: Peer | None) -> _Peer | None:
    if peer is None:
        return None
    return _Peer(
        peer.versions_url,
        peer.outbound_token,
        peer.credentials_url,
        [_Endpoint(module, interface, url) for (module, interface), url in peer.endpoints.items()],
        [msgspec.Raw(encode(role)) for role in peer.roles],
    )


def _objects(store: Store) -> dict[str, list[_Object]]:
    return {
        module: [
            _Object(
                held.name.receiver,
                list(held.name.parts),
                held.raws.get(()) == held.current,
                msgspec.Raw(held.current),
            )
            for held in store.held(module)
        ]
        for module in store.modules()
    }


def _take(store: Store, objects: dict[str, list[_Object]]) -> None:
    for module, listed in objects.items():
        for one in listed:
            name, current = Name(one.receiver, tuple(one.parts)), bytes(one.object)
            store.take(module, Held(name, current, {(): current} if one.as_put else {}))
