"""`hub platform …`: connecting platforms, looking at them, suspending them and renewing their tokens."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer

from infra.cli_client import EXIT_CODES, HANDSHAKE_SECONDS, AdminClient, Exit, fail
from infra.cli_output import (
    DEFAULT_DATA_DIR,
    DataDir,
    Form,
    Output,
    print_facts,
    print_heading,
    print_json,
    print_rows,
    progress,
)
from infra.cli_party import PlatformName, Roles, online, read_party

app = typer.Typer(no_args_is_help=True, help="Connect platforms, look at them, suspend them.", epilog=EXIT_CODES)

Selector = Annotated[str, typer.Argument(help="Platform id, or a party that it hosts, such as NL/ENE.")]


@app.command(epilog=EXIT_CODES)
def connect(
    url: Annotated[str, typer.Option("--url", help="The partner's versions URL.")],
    token: Annotated[
        str, typer.Option("--token", envvar="HUB_PARTNER_TOKEN", help="The registration token that the partner gave.")
    ],
    party: Annotated[str, typer.Option("--party", help="The party that you expect there, such as NL/ENE.")],
    roles: Roles,
    name: PlatformName = None,
    platform: Annotated[
        str | None, typer.Option("--platform", help="Connect this platform again, by its id, instead of a new one.")
    ] = None,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Connect to a partner that invited this hub: the whole OCPI handshake, with the hub as the one who asks.

    Roles that the partner lists beside the one named are quarantined until you invite them.

    Example: hub platform connect --url https://cpo.example/ocpi/versions --token abc --party NL/ENE --role CPO
    """
    client = AdminClient.find(data_dir)
    progress(f"registering at {url} …")
    body = {
        "url": url,
        "token": token,
        "party": read_party(party),
        "roles": roles,
        "name": name,
        "platform_id": platform,
    }
    made = client.post("/platforms", body, patience=HANDSHAKE_SECONDS)
    _print_detail(made, output)
    for row in made["parties"]:
        if row["is_invited"] and not row["is_listed"]:
            progress(f"note: the partner does not list {row['party']} as {row['role']}, so it is not routed")


@app.command("list", epilog=EXIT_CODES)
def list_platforms(output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the platforms with their parties; roles in brackets are quarantined.

    Example: hub platform list
    """
    rows = AdminClient.find(data_dir).get("/platforms")
    if output is Form.JSON:
        print_json(rows)
        return
    print_rows(
        ("NAME", "STATUS", "ONLINE", "OCPI", "PARTIES", "ID"),
        (
            (
                row["platform"]["name"],
                row["platform"]["status"],
                online(row["platform"]["is_online"], row["platform"]["status"]),
                row["platform"]["ocpi_version"],
                row["roles"],
                row["platform"]["platform_id"],
            )
            for row in rows
        ),
        empty="no platform yet: hub party invite NL/ENE --role CPO",
    )


@app.command(epilog=EXIT_CODES)
def show(platform: Selector, output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show one platform: its parties, endpoints and the dates of its tokens (never their values).

    Example: hub platform show NL/ENE
    """
    client = AdminClient.find(data_dir)
    _print_detail(client.get(f"/platforms/{find(client, platform)}"), output)


@app.command("rotate-token", epilog=EXIT_CODES)
def rotate_token(
    platform: Selector,
    leaked: Annotated[
        bool, typer.Option("--leaked", help="The platform's token is dead at once, before it is told.")
    ] = False,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Renew the tokens of a platform.

    Not registered (yet, or any more): prints a new one-time token and the one before it is dead. Registered: the hub
    updates its credentials at the partner (PUT), which gives both sides new tokens; nothing is printed but the outcome.
    The old ones work until the new ones are used, at most ten minutes; with --leaked the one that the platform shows the hub is
    dead before the partner is asked, and if the partner does not take the update a new one-time token is printed.

    Example: hub platform rotate-token NL/ENE --leaked
    """
    client = AdminClient.find(data_dir)
    path = f"/platforms/{find(client, platform)}/rotate-token"
    done = client.post(path, {"is_leaked": leaked}, patience=HANDSHAKE_SECONDS)
    if output is Form.JSON:
        print_json(done)
        return
    print_facts(
        {
            "platform": done["platform_name"],
            "platform id": done["platform_id"],
            "renewed": done["renewed"],
            "versions URL": done["versions_url"],
            "token": done["token"],
        }
    )
    if done["reason"]:
        progress(f"note: the old token is dead, but the partner did not take a new one: {done['reason']}")
    if done["token"]:
        progress("Give the versions URL and the token to the partner. The token is not shown again.")


@app.command(epilog=EXIT_CODES)
def suspend(platform: Selector, output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Cut a platform off: nothing is taken from it, nothing is sent to it.

    Returns once that is true in every process of the hub; a process that hangs may make it take half a minute.

    Example: hub platform suspend NL/ENE
    """
    _change(platform, "suspend", output, data_dir)


@app.command(epilog=EXIT_CODES)
def resume(platform: Selector, output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Let a suspended platform back in, with the tokens and parties it had.

    Example: hub platform resume NL/ENE
    """
    _change(platform, "resume", output, data_dir)


class Stale(StrEnum):
    """What becomes of pushes that are older than what is held."""

    REFUSE = "refuse"
    ACCEPT = "accept"


@app.command("set", epilog=EXIT_CODES)
def set_tolerance(
    platform: Selector,
    stale: Annotated[Stale, typer.Option("--stale", help="accept: its old clocks count; refuse: they do not.")],
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Set what the hub lets pass from a platform: pushes that are older than what is held, by their own clock.

    Example: hub platform set NL/ENE --stale accept
    """
    client = AdminClient.find(data_dir)
    done = client.post(f"/platforms/{find(client, platform)}/tolerance", {"stale": stale.value})
    if output is Form.JSON:
        print_json(done)
    else:
        print_facts({"platform": done["name"], "platform id": done["platform_id"], "stale": done["stale"]})


class Quirk(StrEnum):
    """Habits of a platform that the hub can serve."""

    RAW_TOKEN = "raw-token"  # noqa: S105
    HALF_HEADERS = "half-headers"
    HTTP_STATUS = "http-status"


@app.command(epilog=EXIT_CODES)
def quirks(
    platform: Selector,
    flags: Annotated[list[Quirk] | None, typer.Option("--set", help="Serve this habit; repeat for several.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Serve none that is not named by --set.")] = False,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show or set the habits of a platform that the hub serves; without options it shows them.

    raw-token: the hub shows its token as it is, not in Base64. half-headers: one half of a routing pair counts as none.
    http-status: a receiver that is silent or away is told by HTTP 504 or 503 too.

    Example: hub platform quirks NL/ENE --set raw-token --set http-status
    """
    client = AdminClient.find(data_dir)
    path = f"/platforms/{find(client, platform)}/quirks"
    done = client.get(path)
    if flags or clear:
        kept = [] if clear else done["quirks"]
        done = client.post(path, {"quirks": sorted({*kept, *(flag.value for flag in flags or [])})})
    if output is Form.JSON:
        print_json(done)
    else:
        print_facts(
            {
                "platform": done["name"],
                "platform id": done["platform_id"],
                "quirks": ", ".join(done["quirks"]) or "none",
            }
        )


@app.command(epilog=EXIT_CODES)
def disconnect(platform: Selector, output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """End the connection with a platform: it is told, both tokens are dead, everything else stays.

    With `rotate-token` afterwards it gets a new one-time token and may register again: also the way out where a partner lost
    the answer to its own registration.

    Example: hub platform disconnect NL/ENE
    """
    _change(platform, "disconnect", output, data_dir)


def find(client: AdminClient, selector: str) -> str:
    """The id of the platform that is meant, or the end of the command."""
    if "/" not in selector:
        try:
            return str(UUID(selector))
        except ValueError:
            fail(Exit.USAGE, f"{selector!r} is neither a platform id nor a party such as NL/ENE")
    party = read_party(selector)
    found = [row["platform"] for row in client.get("/platforms", party=party)]
    if not found:
        fail(Exit.NOT_FOUND, f"no platform hosts {party}")
    if len(found) > 1:
        choices = ", ".join(f"{row['name']} {row['platform_id']}" for row in found)
        fail(Exit.USAGE, f"{len(found)} platforms host {party}, name one by its id: {choices}")
    return str(found[0]["platform_id"])


def _change(selector: str, action: str, output: Form, data_dir: DataDir) -> None:
    client = AdminClient.find(data_dir)
    platform_id = find(client, selector)
    progress("waiting until every process acts on it …")
    done = client.post(f"/platforms/{platform_id}/{action}")
    if output is Form.JSON:
        print_json(done)
    else:
        print_facts({"platform": done["name"], "platform id": done["platform_id"], "status": done["status"]})
    if not done["is_in_force"]:
        fail(Exit.FAILED, "changed, but some process has not acknowledged it: see `hub status`")


def _print_detail(found: dict[str, Any], output: Form) -> None:
    if output is Form.JSON:
        print_json(found)
        return
    platform = found["platform"]
    print_facts(
        {
            "platform": platform["name"],
            "platform id": platform["platform_id"],
            "status": platform["status"],
            "online": online(platform["is_online"], platform["status"]),
            "OCPI version": platform["ocpi_version"],
            "versions URL": platform["versions_url"],
            "created at": platform["created_at"],
            "updated at": platform["updated_at"],
        }
    )
    _section(
        found["parties"],
        "Parties",
        party="PARTY",
        role="ROLE",
        is_invited="INVITED",
        is_listed="LISTED",
        is_quarantined="QUARANTINED",
    )
    _section(found["endpoints"], "Endpoints", module="MODULE", interface="INTERFACE", url="URL")
    _section(
        found["tokens"],
        "Tokens",
        direction="DIRECTION",
        kind="KIND",
        created_at="SINCE",
        expires_at="UNTIL",
        encoding="ENCODING",
    )


def _section(rows: list[dict[str, Any]], title: str, **columns: str) -> None:
    if rows:
        print_heading(title)
        print_rows(tuple(columns.values()), (tuple(row[name] for name in columns) for row in rows))
