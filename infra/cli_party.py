"""`hub party …`: inviting parties and listing them."""

from typing import Annotated, Final

import typer

from hub.ocpi.parties import PartyId, Role
from infra.cli_client import EXIT_CODES, AdminClient, Exit, fail
from infra.cli_output import DEFAULT_DATA_DIR, DataDir, Form, Output, print_facts, print_json, print_rows, progress

app = typer.Typer(no_args_is_help=True, help="Invite parties and list them.", epilog=EXIT_CODES)

CONNECTABLE: Final = tuple(role for role in Role if role is not Role.HUB)
Roles = Annotated[
    list[Role], typer.Option("--role", help=f"Role of the party, once per role: {', '.join(CONNECTABLE)}.")
]
PlatformName = Annotated[
    str | None, typer.Option("--name", help="Your own word for the platform; the party if you give none.")
]


def read_party(text: str) -> str:
    """A party in upper case, or the end of the command."""
    try:
        return str(PartyId.parse(text).folded)
    except ValueError as error:
        fail(Exit.USAGE, str(error))


def online(is_online: bool, status: str) -> bool | None:
    """Whether a platform is thought reachable: None, an empty cell, while it is not connected anyway."""
    return is_online if status == "connected" else None


@app.command(epilog=EXIT_CODES)
def invite(
    party: Annotated[str, typer.Argument(help="Country code and party id, such as NL/ENE.")],
    roles: Roles,
    name: PlatformName = None,
    platform: Annotated[
        str | None, typer.Option("--platform", help="Id of the platform that hosts this party beside others.")
    ] = None,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Invite a party: prints the versions URL and the one-time token to give to it.

    With --platform the party joins a platform that is there; no new token is needed then.

    Example: hub party invite NL/ENE --role CPO --name "Example Energy"
    """
    client = AdminClient.find(data_dir)
    body = {"party": read_party(party), "roles": roles, "name": name, "platform_id": platform}
    made = client.post("/invitations", body)
    if output is Form.JSON:
        print_json(made)
        return
    print_facts(
        {
            "party": made["party"],
            "roles": made["roles"],
            "platform": made["platform_name"],
            "platform id": made["platform_id"],
            "versions URL": made["versions_url"],
            "token": made["token"],
        }
    )
    if made["token"]:
        progress("Give the versions URL and the token to the partner. The token is not shown again.")


@app.command("list", epilog=EXIT_CODES)
def list_parties(output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List every party in every role with its platform.

    A quarantined role was named by the platform but never invited: it is neither routed nor shown to others.

    Example: hub party list -o json
    """
    rows = AdminClient.find(data_dir).get("/parties")
    if output is Form.JSON:
        print_json(rows)
        return
    print_rows(
        ("PARTY", "ROLE", "STATE", "ONLINE", "PLATFORM", "PLATFORM ID"),
        (
            (
                row["party"],
                row["role"],
                _state(row),
                online(row["is_online"], row["platform_status"]),
                row["platform_name"],
                row["platform_id"],
            )
            for row in rows
        ),
        empty="no party yet: hub party invite NL/ENE --role CPO",
    )


def _state(row: dict[str, object]) -> object:
    if row["is_quarantined"]:
        return "quarantined"
    return row["platform_status"] if row["is_listed"] else "not listed by its platform"
