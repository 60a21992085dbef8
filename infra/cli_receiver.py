"""`hub receiver …`: how the receivers of broadcasts do, and what is set for them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from infra.cli_client import EXIT_CODES, AdminClient, Exit, fail
from infra.cli_output import DEFAULT_DATA_DIR, DataDir, Form, Output, print_facts, print_heading, print_json, print_rows
from infra.cli_party import read_party

app = typer.Typer(
    no_args_is_help=True, help="Receivers of broadcasts: look, pause, resume, resync, set.", epilog=EXIT_CODES
)

PartyName = Annotated[str, typer.Argument(help="The receiving party, such as NL/EM1.")]
OnPlatform = Annotated[
    str | None, typer.Option("--platform", help="Its platform's id, where the party is on several platforms.")
]


class HeldModule(StrEnum):
    """What is pushed to all."""

    LOCATIONS = "locations"
    TARIFFS = "tariffs"
    TOKENS = "tokens"


class CatchUp(StrEnum):
    """What becomes of what a receiver misses."""

    PUSH = "push"
    NONE = "none"


class Touches(StrEnum):
    """What becomes of changes of nothing but clocks."""

    SEND = "send"
    SKIP = "skip"


@app.command("list", epilog=EXIT_CODES)
def list_receivers(output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the receivers: flowing, suspended or why they are parked, what waits, what they still miss.

    OLDEST is for how many seconds the oldest update has not reached the receiver.

    Example: hub receiver list
    """
    rows = AdminClient.find(data_dir).get("/receivers")
    if output is Form.JSON:
        print_json(rows)
        return
    names = ("party", "platform_name", "state", "in_flight", "waiting", "marks", "oldest_seconds", "refusals")
    print_rows(
        ("PARTY", "PLATFORM", "STATE", "IN FLIGHT", "WAITING", "MARKS", "OLDEST", "REFUSALS"),
        (tuple(row[name] for name in names) for row in rows),
        empty="no receiver yet: none is connected that others may push to",
    )


@app.command(epilog=EXIT_CODES)
def show(
    party: PartyName, platform: OnPlatform = None, output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Show one receiver: its breaker, what is set for it, its marks by module, its latest refusals.

    Example: hub receiver show NL/EM1
    """
    query = {"platform_id": platform} if platform else {}
    _print_detail(AdminClient.find(data_dir).get(f"/receivers/{read_party(party)}", **query), output)


@app.command(epilog=EXIT_CODES)
def pause(
    party: PartyName, platform: OnPlatform = None, output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Send a receiver nothing until it is resumed; what it misses is marked.

    Example: hub receiver pause NL/EM1
    """
    _change(party, platform, {"is_paused": True}, output, data_dir)


@app.command(epilog=EXIT_CODES)
def resume(
    party: PartyName, platform: OnPlatform = None, output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Let a paused receiver go on; it gets the current state of all that it missed, once.

    Example: hub receiver resume NL/EM1
    """
    _change(party, platform, {"is_paused": False}, output, data_dir)


@app.command("set", epilog=EXIT_CODES)
def set_receiver(
    party: PartyName,
    catch_up: Annotated[
        CatchUp | None, typer.Option("--catch-up", help="push: what it misses is sent later; none: it is not.")
    ] = None,
    touches: Annotated[
        Touches | None, typer.Option("--touches", help="skip: changes of nothing but clocks are left out.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0, help="Most requests of broadcasts per second, in all workers; 0: no limit."),
    ] = None,
    platform: OnPlatform = None,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Change what is set for a receiver.

    Example: hub receiver set NL/EM1 --rate 20
    """
    if catch_up is None and touches is None and rate is None:
        fail(Exit.USAGE, "nothing to set: give --catch-up, --touches or --rate")
    given = {"catch_up": catch_up, "touches": touches, "rate": rate}
    _change(party, platform, {name: value for name, value in given.items() if value is not None}, output, data_dir)


@app.command(epilog=EXIT_CODES)
def resync(
    party: PartyName,
    module: Annotated[HeldModule | None, typer.Option("--module", help="Only this module.")] = None,
    platform: OnPlatform = None,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Send a receiver the current state of everything that it may see, once.

    Example: hub receiver resync NL/EM1 --module tariffs
    """
    body = {"module": module.value if module else None, "platform_id": platform}
    done = AdminClient.find(data_dir).post(f"/receivers/{read_party(party)}/resync", body)
    if output is Form.JSON:
        print_json(done)
    else:
        print_facts({"party": done["party"]} | {f"{name} marked": count for name, count in done["marked"].items()})


def _change(party: str, platform: str | None, body: Mapping[str, Any], output: Form, data_dir: DataDir) -> None:
    client = AdminClient.find(data_dir)
    _print_detail(client.post(f"/receivers/{read_party(party)}", {**body, "platform_id": platform}), output)


def _print_detail(found: Mapping[str, Any], output: Form) -> None:
    if output is Form.JSON:
        print_json(found)
        return
    row = found["receiver"]
    print_facts(
        {
            "party": row["party"],
            "platform": row["platform_name"],
            "platform id": row["platform_id"],
            "modules": ", ".join(row["modules"]),
            "state": row["state"],
            "reason": found["reason"] or None,
            "breaker open since": found["breaker_open_since"],
            "failed trials": found["failures"] or None,
            "next trial": found["next_try_at"],
            "asked to wait until": found["asked_until"],
            "catch-up": found["catch_up"],
            "touches": found["touches"],
            "rate, per second": found["rate"] or "no limit",
            "in flight": row["in_flight"],
            "waiting": row["waiting"],
            "marks": ", ".join(f"{count} {name}" for name, count in found["marks"].items()) or 0,
            "oldest, seconds": row["oldest_seconds"],
        }
    )
    if found["refusals"]:
        print_heading("Latest refusals")
        names = ("object", "method", "http_status", "ocpi_status", "detail", "count", "refused_at")
        print_rows(
            ("OBJECT", "METHOD", "HTTP", "OCPI", "DETAIL", "TIMES", "AT"),
            (tuple(refusal[name] for name in names) for refusal in found["refusals"]),
        )
