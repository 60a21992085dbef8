"""`hub exchange show` and `hub object show`: one message's story, one object as the hub holds it."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from hub.ocpi.parties import PartyId
from infra.cli_client import EXIT_CODES, AdminClient, Exit, fail
from infra.cli_output import (
    DEFAULT_DATA_DIR,
    DataDir,
    Form,
    Output,
    cell,
    print_facts,
    print_heading,
    print_json,
    print_rows,
)

exchange_app = typer.Typer(no_args_is_help=True, help="Follow one message through the hub.", epilog=EXIT_CODES)
object_app = typer.Typer(no_args_is_help=True, help="Look at one object that the hub holds.", epilog=EXIT_CODES)

_POLL_SECONDS = 0.2


@exchange_app.command("show", epilog=EXIT_CODES)
def show_exchange(
    correlation_id: Annotated[str, typer.Argument(help="The X-Correlation-ID of the message.")],
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait until something is told of it.")] = 0,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Tell the story of one message: every leg in order, with times.

    ENDED is when a leg ended, counted from the message's arrival, TOOK how long it lasted. Clocks of several machines may
    differ. The ledger writes within a second or two.

    Example: hub exchange show 6d6f7d2e-3a5b-4c7e-9c39-5f5a8f0a1f6e
    """
    client = AdminClient.find(data_dir)
    if wait:
        _await_story(client, correlation_id, wait)
    story = client.get("/exchanges", correlation_id=correlation_id)
    if output is Form.JSON:
        print_json(story)
        return
    began = datetime.fromisoformat(story["began_at"])
    print_facts(
        {
            "correlation id": story["correlation_id"],
            "trace id": next((step["trace_id"] for step in story["steps"] if step["trace_id"]), None),
            "began at": story["began_at"],
            "caller waited": _milliseconds(story["total_ms"]),
            "of it partner": _milliseconds(story["partner_ms"]),
            "of it hub": _milliseconds(story["hub_ms"]),
        }
    )
    print_heading("Legs" if story["is_whole"] else f"Legs (the first {len(story['steps'])})")
    print_rows(
        ("ENDED", "TOOK", "LEG", "WHAT", "VERDICT", "FROM", "TO", "MESSAGE", "ANSWER", "PLATFORM", "DETAIL"),
        (_step(step, began) for step in story["steps"]),
    )


@object_app.command("show", epilog=EXIT_CODES)
def show_object(
    name: Annotated[str, typer.Argument(help="MODULE/COUNTRY/PARTY/ID, such as locations/NL/ENE/LOC1.")],
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one Location with its EVSEs, one Tariff or one Token as the hub holds it, unit by unit.

    What changes on its own is a unit: a Location, each of its EVSEs. Their JSON is what was pushed, value by value.
    A Token may be named with its type (tokens/NL/ABC/UID:RFID) or without.

    Example: hub object show locations/NL/ENE/LOC1
    """
    module, owner, object_id = _object_name(name)
    found = AdminClient.find(data_dir).get("/objects", module=module, party=owner, object_id=object_id)
    if output is Form.JSON:
        print_json(found)
        return
    print_rows(
        ("UNIT", "STATE", "LAST UPDATED", "CHANGED AT", "APPLIED", "PUSHED BY"),
        (
            (
                _unit_name(unit),
                _unit_state(unit),
                unit["last_updated"],
                unit["changed_at"],
                f"{unit['log_epoch']}@{unit['log_offset']}",
                f"{unit['party']} on {unit['platform_name'] or unit['platform_id']}",
            )
            for unit in found["units"]
        ),
    )
    for unit in found["units"]:
        if unit["raw"] is not None:
            print_heading(_unit_name(unit))
            typer.echo("\n".join(cell(line) for line in unit["raw"].splitlines()))


@object_app.command("incomplete", epilog=EXIT_CODES)
def list_incomplete(
    party: Annotated[str | None, typer.Option("--party", help="Only those of this owner, such as NL/ENE.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 100,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List objects that are in no list since the hub knows patches of them only, the longest waiting first.

    The hub fetches them from their owners by itself. What an owner does not have, or answers wrongly again and again, is given
    up until it patches the object again; its PUT of the whole object ends the matter.

    Example: hub object incomplete --party NL/ENE
    """
    given = {} if party is None else {"party": party}
    found = AdminClient.find(data_dir).get("/objects/incomplete", limit=str(limit), **given)
    if output is Form.JSON:
        print_json(found)
        return
    print_rows(
        ("OBJECT", "UNITS", "SINCE", "ATTEMPTS", "NEXT ATTEMPT", "LAST ERROR", "PLATFORM"),
        (
            (
                "/".join((entry["module"], entry["party"], entry["object_id"])),
                entry["units"],
                entry["since"],
                entry["tries"],
                "given up" if entry["is_given_up"] else entry["next_try_at"],
                entry["detail"],
                entry["platform_name"] or entry["platform_id"],
            )
            for entry in found
        ),
    )


def _await_story(client: AdminClient, correlation_id: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not client.has("/exchanges", correlation_id=correlation_id):
        time.sleep(_POLL_SECONDS)


def _object_name(name: str) -> tuple[str, str, str]:
    module, _, rest = name.partition("/")
    country_code, _, rest = rest.partition("/")
    party_id, _, object_id = rest.partition("/")
    try:
        owner = PartyId.parse(f"{country_code}/{party_id}")
    except ValueError:
        owner = None
    if owner is None or not module or not object_id:
        fail(Exit.USAGE, f"{name!r} is not MODULE/COUNTRY/PARTY/ID, such as locations/NL/ENE/LOC1")
    return module, str(owner.folded), object_id


def _step(step: Mapping[str, Any], began: datetime) -> tuple[Any, ...]:
    after = (datetime.fromisoformat(step["at"]) - began) / timedelta(milliseconds=1)
    message = " ".join(filter(None, (step["method"], step["object"] or step["module"])))
    return (
        f"+{max(after, 0.0):.0f} ms",
        _milliseconds(step["elapsed_ms"]),
        step["leg"],
        step["kind"],
        step["verdict"],
        step["from_party"],
        step["to_party"],
        message,
        "/".join(str(code) for code in (step["http_status"], step["ocpi_status"]) if code is not None),
        step["platform_name"] or step["platform_id"],
        step["detail"],
    )


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ms"


def _unit_name(unit: Mapping[str, Any]) -> str:
    parts = (unit["module"], unit["party"], unit["object_id"], unit["evse_uid"])
    return "/".join(str(part) for part in parts if part)


def _unit_state(unit: Mapping[str, Any]) -> str:
    if unit["is_incomplete"]:
        return "incomplete"
    return "deleted" if unit["raw"] is None else "held"
