"""Steps 6 to 11 of the demo: what concerns one party goes to that party, and its own answer comes back."""

import asyncio
import contextlib
import json
import time
from typing import Any

from infra.dev.demo_rig import DemoFailedError, Stage, eventually, hops, kill, must, new_id, percentile
from infra.dev.demo_spread import TOKEN_UID

AUTHORIZATIONS = 120
LOCATION = "demo_location"


async def authorize(stage: Stage) -> str:
    """A CPO asks about a token without naming anybody; the token's own eMSP answers."""
    cpo, emsp = stage.platforms["cpo-south"], stage.platforms["emsp-one"]
    answer = await _authorize(stage)
    must(_data(answer).get("allowed") == "ALLOWED", f"the answer is {answer['status']} {answer['body']}")
    must(_from(answer) == "NL/EM1", f"the answer is FROM {_from(answer)}")
    got = await emsp.received(correlation_id=answer["correlation_id"])
    must(len(got) == 1, f"the eMSP was asked {len(got)} times")
    must(_header(got[0], "from") == cpo.parties[0], "FROM is not the CPO")
    for other in ("emsp-two", "emsp-three"):
        must(
            not await stage.platforms[other].received(correlation_id=answer["correlation_id"]),
            f"{other} was asked, too",
        )
    told = await _story(stage, answer["correlation_id"])
    return f"ALLOWED FROM NL/EM1; partner {told['partner_ms']:.1f} ms, hub {told['hub_ms']:.1f} ms" + hops(
        stage, {"method": "POST", **answer}, got[0]
    )


async def _authorize(stage: Stage) -> dict[str, Any]:
    cpo = stage.platforms["cpo-south"]
    return await cpo.send("POST", "tokens", f"{TOKEN_UID}/authorize", interface="sender", query="type=RFID")


async def _story(stage: Stage, correlation_id: str) -> dict[str, Any]:
    """The story of a message as the ledger tells it, once its answer is in it."""

    async def look() -> dict[str, Any] | None:
        with contextlib.suppress(DemoFailedError):
            told: dict[str, Any] = await stage.operate("exchange", "show", correlation_id)
            return told if told["hub_ms"] is not None else None
        return None

    found: dict[str, Any] = await eventually(look, seconds=15, what="the ledger has the story", every_seconds=0.5)
    return found


async def start_session(stage: Stage) -> str:
    """An eMSP starts a session; the CPO sees a response_url of the hub, the result reaches the original one."""
    cpo, emsp = stage.platforms["cpo-south"], stage.platforms["emsp-one"]
    held = await cpo.look("own/locations")
    location = next(entry for entry in _objects(held) if entry["party_id"] == "NUO")
    token = _objects(await emsp.look("own/tokens"))[0]
    body = {"token": token, "location_id": location["id"], "evse_uid": location["evses"][0]["uid"]}
    done = await emsp.order("command", command="START_SESSION", body=body, wait_s=20)
    must(done.get("result", {}).get("result") == "ACCEPTED", f"the command came to {json.dumps(done)[:600]}")
    got = await cpo.received(module="commands", method="POST")
    seen = json.loads(got[-1]["body"])["response_url"]
    must(seen.startswith(stage.versions_url.removesuffix("versions")), f"the CPO sees {seen}")
    original = emsp.process.ready["versions_url"].split("/ocpi")[0]
    results = [item for item in await emsp.received(module="commands", method="POST") if item["body"]]
    must(results, f"no result came to {original}")
    must(_header(results[-1], "from") == cpo.parties[0], "the result is not FROM the CPO")
    return f"the CPO was given {seen[:72]}…\nits result ACCEPTED reached {original}" + hops(
        stage, {"method": "POST", "url": "commands/START_SESSION"}, got[-1], results[-1]
    )


async def session(stage: Stage) -> str:
    """PUT and PATCH of a Session without TO go to the owner of its token, and to nobody else."""
    cpo, emsp = stage.platforms["cpo-south"], stage.platforms["emsp-one"]
    session_id = f"S-{new_id()}"
    whole = _session(session_id)
    put = await cpo.send("PUT", "sessions", f"NL/NUO/{session_id}", body=whole)
    must(put["accepted"], f"PUT: {put['status']} {put['body']}")
    change = {"kwh": 7.4, "last_updated": "2026-06-02T12:45:00Z"}
    patch = await cpo.send("PATCH", "sessions", f"NL/NUO/{session_id}", body=change)
    must(patch["accepted"], f"PATCH: {patch['status']} {patch['body']}")
    for sent in (put, patch):
        must(len(await emsp.received(correlation_id=sent["correlation_id"])) == 1, "the owner did not get it once")
        for other in ("emsp-two", "emsp-three"):
            must(not await stage.platforms[other].received(correlation_id=sent["correlation_id"]), f"{other} got it")
    arrived = await emsp.received(correlation_id=patch["correlation_id"])
    held = next(entry for entry in _objects(await emsp.look("store/sessions")) if entry["id"] == session_id)
    must(float(held["kwh"]) == 7.4, f"the owner holds {held['kwh']} kWh")
    shown = hops(stage, {"method": "PATCH", **patch}, arrived[0])
    return f"Session {session_id}: PUT and PATCH reached NL/EM1 only, {held['kwh']} kWh" + shown


def _session(session_id: str) -> dict[str, Any]:
    return {
        "country_code": "NL",
        "party_id": "NUO",
        "id": session_id,
        "start_date_time": "2026-06-02T12:15:00Z",
        "kwh": 0.0,
        "cdr_token": _cdr_token(),
        "auth_method": "AUTH_REQUEST",
        "location_id": LOCATION,
        "evse_uid": "1",
        "connector_id": "1",
        "currency": "EUR",
        "status": "ACTIVE",
        "last_updated": "2026-06-02T12:15:00Z",
    }


def _cdr_token() -> dict[str, str]:
    return {
        "country_code": "NL",
        "party_id": "EM1",
        "uid": TOKEN_UID,
        "type": "RFID",
        "contract_id": "NL-EM1-C00000001-X",
    }


async def cdr(stage: Stage) -> str:
    """A CDR goes to the token's owner; the Location that the CPO gets is the hub's, and GET there gives the CDR."""
    cpo, emsp = stage.platforms["cpo-south"], stage.platforms["emsp-one"]
    whole = _cdr(f"C-{new_id()}")
    sent = await cpo.send("POST", "cdrs", "", body=whole)
    must(sent["accepted"], f"POST cdrs: {sent['status']} {sent['body']}")
    location = next(value for name, value in sent["headers"].items() if name.lower() == "location")
    base = stage.versions_url.removesuffix("versions")
    must(location.startswith(base), f"the Location is {location}")
    arrived = await emsp.received(correlation_id=sent["correlation_id"])
    must(len(arrived) == 1, "the owner did not get the CDR once")
    back = await cpo.send("GET", "cdrs", "", url=location, to="NL/EM1")
    must(_data(back).get("id") == whole["id"], f"GET of the Location: {back['status']} {back['body']}")
    return f"Location {location[:64]}…\nGET there gives CDR {whole['id']}" + hops(
        stage, {"method": "POST", **sent}, arrived[0]
    )


def _cdr(cdr_id: str) -> dict[str, Any]:
    place = {
        "id": LOCATION,
        "address": "Kwartelstraat 58",
        "city": "Wijchen",
        "country": "NLD",
        "coordinates": {"latitude": "51.81698", "longitude": "5.722821"},
        "evse_uid": "1",
        "evse_id": "NL*NUO*E1",
        "connector_id": "1",
        "connector_standard": "IEC_62196_T2",
        "connector_format": "SOCKET",
        "connector_power_type": "AC_3_PHASE",
    }
    period = {"start_date_time": "2026-06-02T12:15:00Z", "dimensions": [{"type": "ENERGY", "volume": 7.4}]}
    return {
        "country_code": "NL",
        "party_id": "NUO",
        "id": cdr_id,
        "start_date_time": "2026-06-02T12:15:00Z",
        "end_date_time": "2026-06-02T12:45:00Z",
        "cdr_token": _cdr_token(),
        "auth_method": "AUTH_REQUEST",
        "cdr_location": place,
        "currency": "EUR",
        "charging_periods": [period],
        "total_cost": {"excl_vat": 2.96, "incl_vat": 3.58},
        "total_energy": 7.4,
        "total_time": 0.5,
        "last_updated": "2026-06-02T12:50:00Z",
    }


async def kill_relay(stage: Stage) -> str:
    """The relay dies without a word while authorizations run: each caller gets an answer or 4002, and it works again soon."""
    running = [asyncio.create_task(_paced(stage, number)) for number in range(AUTHORIZATIONS)]
    await asyncio.sleep(0.5)
    pid = stage.worker_pid("relay")
    kill(pid)
    killed_at = time.monotonic()
    answers = await asyncio.gather(*running)
    codes = [answer["status_code"] for answer in answers]
    must(set(codes) <= {1000, 4002}, f"callers got {sorted(set(map(str, codes)))}")

    async def works() -> bool:
        return bool((await _authorize(stage))["status_code"] == 1000)

    await eventually(works, seconds=10, what="authorizations work again")
    took = time.monotonic() - killed_at
    must(stage.worker_pid("relay") != pid, "the relay is the old process")
    waits = [answer["ms"] for answer in answers]
    return (
        f"{len(codes)} callers: {codes.count(1000)} ALLOWED, {codes.count(4002)} told 4002, none left waiting"
        f" (longest {percentile(waits, 1):.0f} ms)\nevery call works again {took:.1f} s after the kill"
    )


async def _paced(stage: Stage, number: int) -> dict[str, Any]:
    await asyncio.sleep(number * 0.01)
    return await _authorize(stage)


async def story(stage: Stage) -> str:
    """`hub exchange show` tells what became of one message, with times."""
    answer = await _authorize(stage)
    rows = (await _story(stage, answer["correlation_id"]))["steps"]
    kinds = {row["kind"] for row in rows}
    must(kinds >= {"delivery.attempted", "request.answered"}, f"the story has {sorted(kinds)}")
    lines = [f"correlation id {answer['correlation_id']}"]
    lines += [
        f"{row['at']}  {row['leg']:8s} {row['kind']:20s} {row['verdict']:10s} {_milliseconds(row['elapsed_ms'])}"
        for row in rows
    ]
    found = [entry for platform in stage.platforms.values() for entry in await platform.look("deviations")]
    must(not found, f"the platforms noted {len(found)} deviations from OCPI, first {found[:1]}")
    lines.append("the six platforms noted no deviation from OCPI in what the hub sent or answered")
    return "\n".join(lines)


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ms"


def _data(answer: dict[str, Any]) -> dict[str, Any]:
    body = answer["body"]
    parsed = json.loads(body) if isinstance(body, str) else body
    data = parsed.get("data") if isinstance(parsed, dict) else None
    return data if isinstance(data, dict) else {}


def _from(answer: dict[str, Any]) -> str:
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    return f"{headers.get('ocpi-from-country-code')}/{headers.get('ocpi-from-party-id')}"


def _header(item: dict[str, Any], side: str) -> str:
    return f"{item['headers'][f'ocpi-{side}-country-code']}/{item['headers'][f'ocpi-{side}-party-id']}"


def _objects(held: Any) -> list[dict[str, Any]]:
    return [entry["object"] for entry in held]
