"""Each fault does what it says, to the requests that it is for, until it is switched off."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.integration.partner_rig import Driven, a_location, a_pair, a_tariff, eventually


async def put(cpo: Driven, **order: Any) -> Any:
    return await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location(), **order)


async def test_down_refuses_connections_and_the_same_port_opens_again() -> None:
    async with a_pair() as (cpo, emsp):
        await put(cpo)
        await emsp.fault("down")
        for _ in range(2):
            refused = await put(cpo)
            assert (refused["status"], "Connect" in refused["error"]) == (None, True)
        await emsp.fault("down", on=False)
        assert (await put(cpo))["status"] == 200


async def test_down_cuts_those_who_wait() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("slow", delay_ms=60_000)
        waiting = asyncio.create_task(put(cpo))
        await eventually(lambda: emsp.received(module="locations"))
        await emsp.fault("down")
        assert (await waiting)["status"] is None


async def test_hang_answers_when_it_is_switched_off() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("hang")
        waiting = asyncio.create_task(put(cpo))
        await eventually(lambda: emsp.received(module="locations"))
        assert (await emsp.received(module="locations"))[0]["outcome"] == "open"
        assert await emsp.get("/store/locations") == []
        await emsp.delete("/faults")
        assert (await waiting)["status"] == 201


async def test_hang_applies_nothing_for_a_caller_that_has_gone() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("hang")
        waiting = asyncio.create_task(put(cpo))
        await eventually(lambda: emsp.received(module="locations"))
        await cpo.partner.stop()
        with pytest.raises(aiohttp.ClientError):
            await waiting

        async def outcome() -> bool:
            return bool((await emsp.received(module="locations"))[0]["outcome"] == "caller gone")

        await eventually(outcome)
        await emsp.delete("/faults")
        assert await emsp.get("/store/locations") == []


async def test_slow_applies_at_once_and_answers_late() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("slow", delay_ms=150)
        sent = await put(cpo)
        assert sent["status"] == 201
        assert sent["ms"] >= 150


@pytest.mark.parametrize("status", ["401", "403", "404", "429", "500", "502", "503"])
async def test_http_fault_gives_that_status_and_applies_nothing(status: str) -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault(status)
        assert (await put(cpo))["status"] == int(status)
        assert await emsp.get("/store/locations") == []


async def test_429_tells_when_to_come_back_and_may_be_given_as_number() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault(429, retry_after=7)
        assert (await put(cpo))["headers"]["retry-after"] == "7"


async def test_fault_of_one_module_leaves_the_others() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("module_refused", module="locations")
        assert (await put(cpo))["status"] == 404
        assert (await cpo.send("PUT", "tariffs", "NL/CPO/T1", to="NL/MSP", body=a_tariff()))["status"] == 201


async def test_fault_of_functional_modules_leaves_versions() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("500", module="functional")
        assert (await put(cpo))["status"] == 500
        assert (await cpo.send("GET", "versions"))["status"] == 200
        await emsp.delete("/faults")
        await emsp.fault("401", module="versions")
        assert (await put(cpo))["status"] == 201
        assert (await cpo.send("GET", "versions"))["status"] == 401


async def test_fault_for_some_times_ends_by_itself() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("500", times=2)
        assert [(await put(cpo))["status"] for _ in range(3)] == [500, 500, 201]
        assert await emsp.get("/faults") == []


async def test_fault_of_one_method_leaves_the_others() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("500", method="PATCH")
        assert (await put(cpo))["status"] == 201


@pytest.mark.parametrize(("form", "kind"), [("bare", "application/json"), ("html", "text/html")])
async def test_wrong_envelope_is_200_without_ocpi(form: str, kind: str) -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("wrong_envelope", form=form)
        sent = await put(cpo)
        assert (sent["status"], sent["status_code"]) == (200, None)
        assert sent["headers"]["content-type"].startswith(kind)
        assert await emsp.get("/store/locations") == []


@pytest.mark.parametrize("status", [200, 204])
async def test_empty_2xx_has_no_body_and_is_applied(status: int) -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("empty_2xx", http_status=status)
        sent = await put(cpo)
        assert (sent["status"], sent["body"]) == (status, None)
        assert len(await emsp.get("/store/locations")) == 1


@pytest.mark.parametrize("applied", [False, True])
async def test_drop_cuts_the_connection_after_reading(applied: bool) -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("drop", applied=applied, times=1, method="POST")
        sent = await cpo.send("POST", "cdrs", to="NL/MSP", raw="{}")
        assert sent["status"] is None
        (record,) = await emsp.received(module="cdrs")
        assert (record["outcome"], record["body"]) == ("dropped", "{}")
        assert len(await emsp.get("/store/cdrs")) == applied


async def test_ocpi_status_is_200_with_that_code() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("ocpi_status", status_code=2003)
        sent = await put(cpo)
        assert (sent["status"], sent["status_code"]) == (200, 2003)
        await emsp.fault("ocpi_status", status_code=2004, http_status=404)
        sent = await put(cpo)
        assert (sent["status"], sent["status_code"]) == (404, 2004)


async def test_strict_refuses_what_deviates_and_takes_the_rest() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("strict")
        wrong = await cpo.send("PUT", "locations", "NL/CPO/L1", to="NL/MSP", body=a_location(address="x" * 46))
        assert (wrong["status"], wrong["status_code"]) == (200, 2001)
        assert "$.address" in wrong["body"]["status_message"]
        assert await emsp.get("/store/locations") == []
        assert (await put(cpo))["status"] == 201


async def test_answer_of_a_fault_still_has_ids_and_routing_headers() -> None:
    async with a_pair() as (cpo, emsp):
        await emsp.fault("500")
        sent = await put(cpo)
        assert sent["headers"]["x-request-id"] == sent["request_id"]
        assert sent["headers"]["ocpi-to-party-id"] == "CPO"


@pytest.mark.parametrize(
    "order", [{"fault": "moody"}, {"fault": "slow", "module": "parking"}, {"fault": "down", "times": 1}, {"faults": []}]
)
async def test_fault_that_does_not_exist_is_refused(order: dict[str, Any]) -> None:
    async with a_pair() as (_, emsp):
        assert (await emsp.refusal("/faults", order))[0] == 400
