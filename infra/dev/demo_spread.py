"""Steps 3 to 5 of the demo: what is meant for all reaches all, byte for byte."""

import asyncio
from typing import Any

from infra.dev.demo_rig import Platform, Stage, data, eventually, hops, must, percentile

HUB = "NL/HUB"
TOKEN_UID = "04AB12CD34EF56"  # noqa: S105 - an RFID card's number, not a secret


async def push_everything(stage: Stage) -> str:
    """All Tariffs, then all Locations, pushed TO the hub; every eMSP has them all, each with equal bytes."""
    await asyncio.gather(*(platform.order("reset_record") for platform in stage.platforms.values()))
    lines = []
    for module in ("tariffs", "locations"):
        orders = [platform.order("push_all", module=module, to=HUB, concurrency=8) for platform in stage.of("cpo")]
        results = [entry for answer in await asyncio.gather(*orders) for entry in answer["results"]]
        must(all(entry["accepted"] for entry in results), f"a push of {module} was not answered 1000")
        sent = {entry["correlation_id"]: entry for entry in results}
        delays = []
        for emsp in stage.of("emsp"):
            got = await _all_received(emsp, module, len(sent))
            delays += [_check_delivery(emsp, item, sent[item["correlation_id"]]) for item in got]
        lines.append(
            f"{len(sent)} {module} answered 1000, {len(delays)} deliveries with equal SHA-256;"
            f" push to arrival p50 {percentile(delays, 0.5):.0f} ms, p99 {percentile(delays, 0.99):.0f} ms"
        )
        last = got[-1]
        shown = hops(stage, {"method": "PUT", **sent[last["correlation_id"]]}, last)
    return "\n".join(lines) + shown


async def _all_received(emsp: Platform, module: str, count: int) -> list[dict[str, Any]]:
    async def enough() -> list[dict[str, Any]] | None:
        items = await emsp.received(module=module, method="PUT")
        return items if len(items) >= count else None

    items: list[dict[str, Any]] = await eventually(enough, seconds=30, what=f"{emsp.name} has all {count} {module}")
    must(len(items) == count, f"{emsp.name} got {len(items)} {module} for {count}")
    return items


def _check_delivery(emsp: Platform, item: dict[str, Any], sent: dict[str, Any]) -> float:
    """FROM hub, TO itself, a new request id, the same correlation id and bytes; returns milliseconds from push to arrival."""
    headers = item["headers"]
    came_from = f"{headers['ocpi-from-country-code']}/{headers['ocpi-from-party-id']}"
    came_to = f"{headers['ocpi-to-country-code']}/{headers['ocpi-to-party-id']}"
    must(came_from == HUB, f"{emsp.name}: FROM is {came_from}")
    must(came_to in emsp.parties, f"{emsp.name}: TO is {came_to}")
    must(headers["x-request-id"] != sent["request_id"], f"{emsp.name}: the request id was copied")
    must(item["body_sha256"] == sent["sent_sha256"], f"{emsp.name}: other bytes arrived than were sent")
    return float((item["at"] - sent["at"]) * 1000)


async def patch_one_evse(stage: Stage) -> str:
    """An EVSE that has no recorded change begins to charge; the milliseconds until each eMSP knows."""
    path, body = charging_evse()
    location_id, evse = path.split("/")[2:]
    cpo = stage.platforms["cpo-south"]
    sent = await cpo.send("PATCH", "locations", path, to=HUB, body=body)
    must(sent["accepted"], f"the PATCH was answered {sent['status']} {sent['body']}")
    delays = []
    for emsp in stage.of("emsp"):
        item = await _one(emsp, sent["correlation_id"])
        delays.append(_check_delivery(emsp, item, sent))
        shown = hops(stage, {"method": "PATCH", **sent}, item)
        held = await emsp.look("store/locations")
        must(_status(held, location_id, evse) == "CHARGING", f"{emsp.name} does not hold CHARGING")
    hub = await stage.operate("object", "show", f"locations/NL/NUO/{location_id}")
    must("CHARGING" in str(hub), "the hub does not hold CHARGING")
    return f"EVSE {evse[:12]}…: " + ", ".join(f"{delay:.0f} ms" for delay in delays) + shown


def charging_evse() -> tuple[str, dict[str, Any]]:
    """Which EVSE begins to charge, as the path of its PATCH, and the body of that."""
    changed = {(change["location_id"], change.get("evse_uid")) for change in data("wijchen-changes.jsonl.gz")}
    location = next(
        entry
        for entry in data("wijchen-start.json.gz")
        if entry["party_id"] == "NUO" and not any((entry["id"], evse["uid"]) in changed for evse in entry["evses"])
    )
    path = f"NL/NUO/{location['id']}/{location['evses'][0]['uid']}"
    return path, {"status": "CHARGING", "last_updated": "2026-06-02T12:00:00Z"}


async def _one(platform: Platform, correlation_id: str) -> dict[str, Any]:
    async def look() -> list[dict[str, Any]]:
        return await platform.received(correlation_id=correlation_id)

    items: list[dict[str, Any]] = await eventually(look, seconds=10, what=f"{platform.name} gets {correlation_id}")
    return items[0]


def _status(held: Any, location_id: str, evse_uid: str) -> str | None:
    for entry in held:
        location = entry["object"]
        if location["id"] == location_id:
            return next((evse["status"] for evse in location["evses"] if evse["uid"] == evse_uid), None)
    return None


async def push_token(stage: Stage) -> str:
    """A Token of the first eMSP, whitelist ALLOWED, reaches every party of every CPO platform."""
    emsp = stage.platforms["emsp-one"]
    token = {
        "country_code": "NL",
        "party_id": "EM1",
        "uid": TOKEN_UID,
        "type": "RFID",
        "contract_id": "NL-EM1-C00000001-X",
        "issuer": "First eMSP",
        "valid": True,
        "whitelist": "ALLOWED",
        "last_updated": "2026-06-02T12:00:00Z",
    }
    await emsp.order("own", **token)
    sent = await emsp.send("PUT", "tokens", f"NL/EM1/{TOKEN_UID}", query="type=RFID", to=HUB, body=token)
    must(sent["accepted"], f"the Token was answered {sent['status']} {sent['body']}")
    parties = 0
    for cpo in stage.of("cpo"):

        async def all_parties(cpo: Platform = cpo) -> list[dict[str, Any]] | None:
            items = await cpo.received(correlation_id=sent["correlation_id"])
            return items if len(items) >= len(cpo.parties) else None

        items = await eventually(all_parties, seconds=10, what=f"{cpo.name} has the Token")
        must(len(items) == len(cpo.parties), f"{cpo.name} got the Token {len(items)} times")
        for item in items:
            _check_delivery(cpo, item, sent)
        shown = hops(stage, {"method": "PUT", **sent}, items[0])
        parties += len(items)
    return f"{parties} parties on {len(stage.of('cpo'))} platforms have it" + shown
