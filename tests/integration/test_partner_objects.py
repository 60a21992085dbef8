"""What partners push to each other is stored as it came, merged as OCPI says, and shown again."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.partner_rig import (
    Driven,
    a_cdr,
    a_location,
    a_pair,
    a_partner,
    a_period,
    a_session,
    a_tariff,
    a_token,
    an_evse,
    connect,
)

LATER = "2026-06-01T12:00:00Z"


async def stored(driven: Driven, module: str) -> list[dict[str, Any]]:
    return [held["object"] for held in await driven.get(f"/store/{module}")]


async def test_push_all_arrives_byte_for_byte(tmp_path: Path) -> None:
    text = "[" + ", ".join(json.dumps(a_location(f"L{n}"), indent=n) for n in range(20)) + "]"
    (tmp_path / "locations.json").write_text(text)
    foreign = json.dumps(a_location("X", party_id="OTH"))
    (tmp_path / "more.jsonl").write_text(json.dumps(a_location("L20")) + "\n" + foreign + "\n")
    async with a_partner("cpo", "NL/CPO", load=tuple(tmp_path.iterdir())) as cpo, a_partner("emsp", "NL/MSP") as emsp:
        await connect(cpo, emsp)
        pushed = await cpo.post("/push_all", {"module": "locations", "to": "NL/MSP", "concurrency": 4})
        assert (pushed["count"], pushed["accepted"]) == (21, 21)
        held = {"/".join(one["name"]): one["sha256"] for one in await emsp.get("/store/locations")}
        assert held == {result["key"]: result["sent_sha256"] for result in pushed["results"]}
        recorded = {record["correlation_id"]: record["body_sha256"] for record in await emsp.received(method="PUT")}
        assert recorded == {result["correlation_id"]: result["sent_sha256"] for result in pushed["results"]}
        assert len({result["correlation_id"] for result in pushed["results"]}) == 21


async def test_record_holds_headers_body_and_answer() -> None:
    async with a_pair() as (cpo, emsp):
        raw = json.dumps(a_location(), indent=3)
        sent = await cpo.send("PUT", "locations", "NL/CPO/L%31", to="NL/MSP", raw=raw)
        assert (sent["status"], sent["status_code"]) == (201, 1000)
        (record,) = await emsp.received(module="locations")
        assert record["path"].endswith("/NL/CPO/L%31")
        assert record["headers"]["ocpi-to-party-id"] == "MSP"
        assert record["headers"]["x-request-id"] == sent["request_id"]
        assert record["body"] == raw
        assert record["body_sha256"] == hashlib.sha256(raw.encode()).hexdigest() == sent["sent_sha256"]
        assert record["answer"]["http_status"] == 201
        assert sent["at"] < record["at"] < record["answer"]["at"]


async def test_answer_has_swapped_routing_headers_and_the_ids() -> None:
    async with a_pair() as (cpo, _):
        sent = await cpo.send("PUT", "tariffs", "NL/CPO/T1", to="NL/MSP", body=a_tariff())
        headers = sent["headers"]
        assert (headers["ocpi-to-party-id"], headers["ocpi-from-party-id"]) == ("CPO", "MSP")
        assert (headers["x-request-id"], headers["x-correlation-id"]) == (sent["request_id"], sent["correlation_id"])


async def test_names_compare_without_case() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location())
        again = await cpo.send("PUT", "locations", "nl/cpo/l1", to="nl/msp", body=a_location(city="Nijmegen"))
        assert again["status"] == 200
        assert [held["city"] for held in await stored(emsp, "locations")] == ["Nijmegen"]


async def test_evse_and_connector_change_their_location_and_move_its_clock() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location())
        change = {"status": "CHARGING", "last_updated": LATER}
        await cpo.send("PATCH", "locations", "NL/CPO/L1/e1", to="NL/MSP", body=change)
        added = await cpo.send("PUT", "locations", "NL/CPO/L1/E2", to="NL/MSP", body=an_evse("E2"))
        await cpo.send(
            "PATCH", "locations", "NL/CPO/L1/E2/1", to="NL/MSP", body={"max_amperage": 32, "last_updated": LATER}
        )
        (location,) = await stored(emsp, "locations")
        assert added["status"] == 201
        assert [(evse["uid"], evse["status"]) for evse in location["evses"]] == [
            ("E1", "CHARGING"),
            ("E2", "AVAILABLE"),
        ]
        assert location["evses"][1]["connectors"][0]["max_amperage"] == 32
        assert location["last_updated"] == location["evses"][1]["last_updated"] == LATER
        shown = await cpo.send("GET", "locations", "NL/CPO/L1/E2", to="NL/MSP")
        assert shown["body"]["data"] == location["evses"][1]


async def test_own_objects_follow_what_was_pushed_of_them() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location())
        await cpo.send(
            "PATCH", "locations", "NL/CPO/L1/E1", to="NL/MSP", body={"status": "CHARGING", "last_updated": LATER}
        )
        shown = await emsp.send("GET", "locations", "L1/E1", interface="sender", to="NL/CPO")
        assert shown["body"]["data"]["status"] == "CHARGING"


async def test_patch_or_part_of_an_unknown_object_is_404() -> None:
    async with a_pair() as (cpo, _):
        for method, path in (("PATCH", "NL/CPO/L9"), ("PUT", "NL/CPO/L9/E1"), ("PATCH", "NL/CPO/L9/E1")):
            sent = await cpo.send(method, "locations", path, to="NL/MSP", body=an_evse())
            assert (sent["status"], sent["status_code"]) == (404, 2001), (method, path)


async def test_number_keeps_its_digits_through_a_patch() -> None:
    async with a_pair() as (cpo, emsp):
        raw = json.dumps(a_session()).replace('"kwh": 0', '"kwh": 0.10')
        await cpo.send("PUT", "sessions", "NL/CPO/S1", to="NL/MSP", raw=raw)
        await cpo.send("PATCH", "sessions", "NL/CPO/S1", to="NL/MSP", body={"last_updated": LATER})
        async with emsp.session.get(emsp.partner.control_url + "/store/sessions") as response:
            assert '"kwh":0.10,' in await response.text()


async def test_session_patch_appends_periods_and_put_replaces_them() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "sessions", "NL/CPO/S1", to="NL/MSP", body=a_session())
        for _ in range(2):
            await cpo.send(
                "PATCH",
                "sessions",
                "NL/CPO/S1",
                to="NL/MSP",
                body={"charging_periods": [a_period(2)], "kwh": 3, "last_updated": LATER},
            )
        (session,) = await stored(emsp, "sessions")
        assert (len(session["charging_periods"]), session["kwh"]) == (3, 3)
        await cpo.send("PUT", "sessions", "NL/CPO/S1", to="NL/MSP", body=a_session())
        assert len((await stored(emsp, "sessions"))[0]["charging_periods"]) == 1


async def test_tariff_can_be_deleted_and_a_location_cannot() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "tariffs", "NL/CPO/T1", to="NL/MSP", body=a_tariff())
        assert (await cpo.send("DELETE", "tariffs", "NL/CPO/T1", to="NL/MSP"))["status"] == 200
        assert await stored(emsp, "tariffs") == []
        assert (await cpo.send("DELETE", "tariffs", "NL/CPO/T1", to="NL/MSP"))["status"] == 404
        refused = await cpo.send("DELETE", "locations", "NL/CPO/L1", to="NL/MSP")
        assert (refused["status"], refused["headers"]["allow"]) == (405, "GET, PATCH, PUT")


async def test_tokens_of_two_types_are_two_tokens() -> None:
    async with a_pair() as (cpo, emsp):
        app_user = a_token(type="APP_USER")
        await emsp.send("PUT", "tokens", "NL/MSP/012345678", to="NL/CPO", body=a_token())
        await emsp.send("PUT", "tokens", "NL/MSP/012345678", query="type=APP_USER", to="NL/CPO", body=app_user)
        change = {"valid": False, "last_updated": LATER}
        await emsp.send("PATCH", "tokens", "NL/MSP/012345678", query={"type": "APP_USER"}, to="NL/CPO", body=change)
        assert [(t["type"], t["valid"]) for t in await stored(cpo, "tokens")] == [("RFID", True), ("APP_USER", False)]


async def test_cdr_is_taken_once_and_stands_at_its_location() -> None:
    async with a_pair() as (cpo, emsp):
        first = await cpo.send("POST", "cdrs", to="NL/MSP", body=a_cdr())
        again = await cpo.send("POST", "cdrs", to="NL/MSP", body=a_cdr())
        other = await cpo.send("POST", "cdrs", to="NL/MSP", body=a_cdr(total_energy=11))
        assert [first["status_code"], again["status_code"], other["status_code"]] == [1000, 1000, 2001]
        assert first["headers"]["location"] == again["headers"]["location"]
        shown = await cpo.send("GET", "cdrs", url=first["headers"]["location"], to="NL/MSP")
        assert shown["body"]["data"] == a_cdr()
        assert len(await stored(emsp, "cdrs")) == 1


async def test_client_info_is_kept_per_role() -> None:
    async with a_pair() as (cpo, emsp):
        info = {"country_code": "BE", "party_id": "TWO", "role": "CPO", "status": "CONNECTED", "last_updated": LATER}
        for role in ("CPO", "EMSP"):
            sent = await cpo.send("PUT", "hubclientinfo", "BE/TWO", body={**info, "role": role})
            assert sent["status_code"] == 1000
        assert [one["role"] for one in await stored(emsp, "hubclientinfo")] == ["CPO", "EMSP"]
        shown = await cpo.send("GET", "hubclientinfo", "BE/TWO")
        assert shown["body"]["data"]["status"] == "CONNECTED"
        assert await emsp.get("/deviations") == []


async def test_each_party_of_a_platform_has_its_own_copy() -> None:
    async with a_partner("cpo", "NL/CPO") as cpo, a_partner("emsp", "NL/MSP", "BE/TWO") as emsp:
        await connect(cpo, emsp)
        for party in ("NL/MSP", "BE/TWO"):
            await cpo.send("PUT", "tariffs", "NL/CPO/T1", to=party, body=a_tariff(party_id="CPO", currency=party[:2]))
        held = await emsp.get("/store/tariffs")
        assert {one["receiver"]: one["object"]["currency"] for one in held} == {"NL/MSP": "NL", "BE/TWO": "BE"}
        shown = await cpo.send("GET", "tariffs", "NL/CPO/T1", to="BE/TWO")
        assert shown["body"]["data"]["currency"] == "BE"


async def test_pull_follows_links_to_the_end_and_stores_what_it_read() -> None:
    async with a_pair(page_limit=3) as (cpo, emsp):
        await cpo.post("/own", [a_location(f"L{n}") for n in range(8)])
        pulled = await emsp.post("/pull", {"module": "locations", "to": "NL/CPO"})
        assert (pulled["complete"], pulled["count"], len(pulled["pages"])) == (True, 8, 3)
        assert {page["total_count"] for page in pulled["pages"]} == {"8"}
        ours, theirs = await cpo.get("/own/locations"), await emsp.get("/store/locations")
        assert [held["sha256"] for held in ours] == [held["sha256"] for held in theirs]


async def test_pull_as_the_new_truth_drops_what_is_gone() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.post("/own", [a_tariff("T1"), a_tariff("T2")])
        await emsp.post("/pull", {"module": "tariffs", "to": "NL/CPO"})
        await cpo.delete("/own/tariffs")
        await cpo.post("/own", a_tariff("T2"))
        await emsp.post("/pull", {"module": "tariffs", "to": "NL/CPO", "replace": True})
        assert [tariff["id"] for tariff in await stored(emsp, "tariffs")] == ["T2"]


async def test_list_filters_by_date_party_and_page() -> None:
    async with a_partner("cpo", "NL/CPO", "BE/TWO") as cpo, a_partner("emsp", "NL/MSP") as emsp:
        await connect(cpo, emsp)
        days = [a_location(f"L{day}", last_updated=f"2026-06-0{day}T00:00:00Z") for day in range(1, 5)]
        await cpo.post("/own", [*days, a_location("B1", country_code="BE", party_id="TWO")])

        async def ids(to: str | None = "NL/CPO", **query: str) -> list[str]:
            answer = await emsp.send("GET", "locations", interface="sender", to=to, query=query)
            return [location["id"] for location in answer["body"]["data"]]

        edges = {"date_from": "2026-06-02T00:00:00Z", "date_to": "2026-06-04T00:00:00Z"}
        assert await ids(**edges) == ["L2", "L3"]
        assert await ids(offset="1", limit="2") == ["L2", "L3"]
        assert await ids("BE/TWO") == ["B1"]
        assert len(await ids(None)) == 5


async def test_page_headers_tell_total_limit_and_the_next_page_with_its_filters() -> None:
    async with a_pair(page_limit=2) as (cpo, emsp):
        await cpo.post("/own", [a_tariff(f"T{n}") for n in range(3)])
        query = {"date_from": "2026-01-01T00:00:00Z"}
        first = await emsp.send("GET", "tariffs", interface="sender", to="NL/CPO", query=query)
        assert (first["headers"]["x-total-count"], first["headers"]["x-limit"]) == ("3", "2")
        link = first["headers"]["link"]
        assert link.endswith('>; rel="next"')
        assert "date_from=2026-01-01" in link
        last = await emsp.send("GET", "tariffs", url=link[1 : link.index(">")], to="NL/CPO")
        assert "link" not in last["headers"]
        assert [tariff["id"] for tariff in last["body"]["data"]] == ["T2"]


async def test_sessions_are_listed_with_date_from_only() -> None:
    async with a_pair() as (_, emsp):
        refused = await emsp.send("GET", "sessions", interface="sender", to="NL/CPO")
        assert (refused["status"], refused["status_code"]) == (200, 2001)


async def test_module_that_is_left_out_is_neither_listed_nor_there() -> None:
    async with a_partner("emsp", "NL/MSP", without=("tariffs",)) as emsp, a_partner("cpo", "NL/CPO") as cpo:
        await connect(cpo, emsp)
        status, error = await cpo.refusal("/send", {"method": "GET", "module": "tariffs", "path": "NL/CPO/T1"})
        assert (status, "tariffs" in error) == (409, True)
        locations = (await cpo.send("GET", "locations", "NL/CPO/L1", to="NL/MSP"))["url"]
        gone = await cpo.send("GET", "locations", url=locations.replace("locations", "tariffs"), to="NL/MSP")
        assert gone["status"] == 404


async def test_order_overrides_headers_body_and_token() -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send(
            "PUT",
            "locations",
            "NL/CPO/L1",
            raw_base64="/w==",
            headers={"OCPI-from-country-code": None, "x-request-id": "mine"},
        )
        record = (await emsp.received(module="locations"))[-1]
        assert "ocpi-from-country-code" not in record["headers"]
        assert record["headers"]["x-request-id"] == "mine"
        assert (record["body_bytes"], record["answer"]["http_status"]) == (1, 400)
        assert (await cpo.send("GET", "versions", authorization="Token bm9ib2R5"))["status"] == 401
        assert (await cpo.send("GET", "versions", authorization=None))["status"] == 401


async def test_body_that_cannot_be_merged_is_a_recorded_500(caplog: pytest.LogCaptureFixture) -> None:
    async with a_pair() as (cpo, emsp):
        await cpo.send("PUT", "sessions", "NL/CPO/S1", to="NL/MSP", body=a_session())
        change = {"charging_periods": 5, "last_updated": LATER}
        sent = await cpo.send("PATCH", "sessions", "NL/CPO/S1", to="NL/MSP", body=change)
        assert (sent["status"], sent["status_code"]) == (500, 3000)
        assert (await emsp.received(method="PATCH"))[0]["answer"]["http_status"] == 500
        assert "could not be handled" in caplog.text
