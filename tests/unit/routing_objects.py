"""Builders for routing tests: a small directory of platforms and envelopes between them."""

from hub.model.directory import Directory, OutboundToken, PartyRole, Platform, PlatformStatus
from hub.model.envelope import Envelope, Scenario
from hub.ocpi.modules import Interface
from hub.ocpi.parties import PartyId, Role

HUB = PartyId("NL", "HUB")
CPO = PartyId("NL", "CP1")
EMSP = PartyId("DE", "MS1")
OTHER_EMSP = PartyId("FR", "MS2")

CPO_ENDPOINTS = (
    ("locations", Interface.SENDER),
    ("sessions", Interface.SENDER),
    ("cdrs", Interface.SENDER),
    ("tariffs", Interface.SENDER),
    ("tokens", Interface.RECEIVER),
    ("commands", Interface.RECEIVER),
    ("chargingprofiles", Interface.RECEIVER),
)
EMSP_ENDPOINTS = (
    ("locations", Interface.RECEIVER),
    ("sessions", Interface.RECEIVER),
    ("cdrs", Interface.RECEIVER),
    ("tariffs", Interface.RECEIVER),
    ("tokens", Interface.SENDER),
    ("commands", Interface.SENDER),
)


def a_platform(
    platform_id: str,
    *roles: tuple[PartyId, Role],
    endpoints: tuple[tuple[str, Interface], ...] | None = None,
    status: PlatformStatus = PlatformStatus.CONNECTED,
    is_online: bool = True,
    quarantined: tuple[tuple[PartyId, Role], ...] = (),
    unlisted: tuple[tuple[PartyId, Role], ...] = (),
) -> Platform:
    """A connected platform at https://<id>.test with the endpoints that its first role usually has."""
    if endpoints is None:
        endpoints = CPO_ENDPOINTS if roles and roles[0][1] is Role.CPO else EMSP_ENDPOINTS
    return Platform(
        platform_id=platform_id,
        name=platform_id,
        status=status,
        version="2.2.1",
        versions_url=f"https://{platform_id}.test/versions",
        endpoints={entry: f"https://{platform_id}.test/2.2.1/{entry[1].lower()}/{entry[0]}" for entry in endpoints},
        roles=tuple(
            [PartyRole(party, role, platform_id) for party, role in roles]
            + [PartyRole(party, role, platform_id, is_quarantined=True) for party, role in quarantined]
        ),
        token=OutboundToken(f"token-for-{platform_id}"),
        is_online=is_online,
        unlisted=tuple(PartyRole(party, role, platform_id) for party, role in unlisted),
    )


def a_directory(*platforms: Platform, agreements: str = "open") -> Directory:
    """A directory of these platforms, by default of one CPO and two eMSPs."""
    chosen = platforms or (
        a_platform("p1", (CPO, Role.CPO)),
        a_platform("p2", (EMSP, Role.EMSP)),
        a_platform("p3", (OTHER_EMSP, Role.EMSP)),
    )
    return Directory.build(7, HUB, agreements, {entry.platform_id: entry for entry in chosen}, {}, 0.0)


def an_envelope(**changes: object) -> Envelope:
    """A START_SESSION from the eMSP to the CPO, unless changed."""
    fields: dict[str, object] = {
        "version": "2.2.1",
        "module": "commands",
        "interface": Interface.RECEIVER,
        "method": "POST",
        "tail": "START_SESSION",
        "query": "",
        "scenario": Scenario.DIRECT,
        "platform_id": "p2",
        "from_party": EMSP,
        "to_party": CPO,
        "request_id": "r-1",
        "correlation_id": "c-1",
        "content_type": "application/json",
        "received_at": 1_700_000_000_000,
        "body": b'{"response_url": "https://p2.test/cb/1", "location_id": "L1", "x": 0.60}',
        "nonce": "n-1",
        "reply_partition": 3,
        "start_by": 1_700_000_002_000,
        "deadline": 1_700_000_015_000,
    }
    return Envelope(**(fields | changes))  # type: ignore[arg-type]
