"""`hub dead-letter …`: records that nobody could understand, and what becomes of them."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

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
    progress,
)

app = typer.Typer(
    no_args_is_help=True, help="Records that nobody could understand: look, put back, discard.", epilog=EXIT_CODES
)

PlaceOrAll = Annotated[str, typer.Argument(help="Place of the letter, such as 3/17.")]
All = Annotated[bool, typer.Option("--all", help="All open letters, in the order of their sources.")]
Again = Annotated[bool, typer.Option("--again", help="Also if something was done with it before.")]


@app.command("list", epilog=EXIT_CODES)
def list_letters(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 50,
    only_open: Annotated[bool, typer.Option("--open", help="Only those with which nothing was done yet.")] = False,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the dead letters, newest first.

    SOURCE is the topic, partition and offset from which the record was buried. TWIN OF names an earlier letter with the same
    source: a worker died in between and buried one record twice.

    Example: hub dead-letter list --open --limit 20
    """
    query = {"limit": str(limit)} | ({"only_open": "true"} if only_open else {})
    found = AdminClient.find(data_dir).get("/dead-letters", **query)
    if output is Form.JSON:
        print_json(found)
    else:
        print_rows(
            ("PLACE", "AT", "STATE", "SOURCE", "BYTES", "TWIN OF", "ERROR"),
            (
                tuple(row[name] for name in ("place", "at", "state", "source", "size", "twin_of", "error"))
                for row in found["letters"]
            ),
            empty="no open dead letter" if only_open else "no dead letter",
        )
    there = found["open"] if only_open else found["total"]
    if not found["is_whole"]:
        progress(f"showing {len(found['letters'])} of {there}: Kafka did not hand out all of them in time")
    elif len(found["letters"]) < there:
        progress(f"showing {len(found['letters'])} of {there}")


@app.command(epilog=EXIT_CODES)
def show(
    place: Annotated[str, typer.Argument(help="Place of the letter, such as 3/17.")],
    with_body: Annotated[
        bool, typer.Option("--body", help="Also the record's body, if no driver may stand in it.")
    ] = False,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one dead letter: why it is one, what was done with it, its record's key and headers.

    Bodies of Tokens, Sessions, CDRs and commands are never shown.

    Example: hub dead-letter show 3/17 --body
    """
    query = {"body": "true"} if with_body else {}
    found = AdminClient.find(data_dir).get(f"/dead-letters/{_place(place)}", **query)
    if output is Form.JSON:
        print_json(found)
        return
    letter, record = found["letter"], found["record"]
    print_facts(
        {
            "place": letter["place"],
            "at": letter["at"],
            "source": letter["source"],
            "error": letter["error"],
            "bytes": letter["size"],
            "state": letter["state"],
            "by": letter["settled_by"],
            "since": letter["settled_at"],
            "times": letter["settled_count"] or None,
            "twin of": letter["twin_of"],
            "key": record["key"],
        }
    )
    print_heading("Headers")
    print_rows(("NAME", "VALUE"), record["headers"])
    if record["body"] is not None or record["body_note"]:
        print_heading(f"Body ({record['body_note']})" if record["body_note"] else "Body")
        typer.echo("\n".join(cell(line) for line in (record["body"] or "").splitlines()))


@app.command(epilog=EXIT_CODES)
def redrive(
    place: PlaceOrAll = "",
    every: All = False,
    again: Again = False,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Put a dead letter's record back onto the topic and partition that it came from, as it was.

    Do it when what was wrong with the hub is mended: its worker reads the record anew. A request to one party is never put
    back: it is sent at most once, and its caller is gone.

    Example: hub dead-letter redrive 3/17
    """
    _settle("redrive", place, every=every, again=again, output=output, data_dir=data_dir)


@app.command(epilog=EXIT_CODES)
def discard(
    place: PlaceOrAll = "",
    every: All = False,
    again: Again = False,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Note that nothing is to be done with a dead letter. Its record can be looked at until it expires.

    Example: hub dead-letter discard 3/17
    """
    _settle("discard", place, every=every, again=again, output=output, data_dir=data_dir)


def _settle(action: str, place: str, *, every: bool, again: bool, output: Form, data_dir: DataDir) -> None:
    if bool(place) == every:
        fail(Exit.USAGE, "name one letter, such as 3/17, or --all")
    if every and again:
        fail(Exit.USAGE, "--again is for one letter: --all takes those that are open")
    client = AdminClient.find(data_dir)
    if every:
        _print_sweep(client.post(f"/dead-letters/{action}"), output)
        return
    done = client.post(f"/dead-letters/{_place(place)}/{action}", {"again": again})
    if output is Form.JSON:
        print_json(done)
    else:
        print_facts({"place": done["place"], done["action"]: done["source"] or "yes", "times": done["count"]})


def _print_sweep(done: Mapping[str, Any], output: Form) -> None:
    if output is Form.JSON:
        print_json(done)
    else:
        print_facts(
            {
                done["action"]: done["settled"],
                "twins discarded": done["twins"] or None,
                "refused": sum(done["refused"].values()),
                "left": done["left"],
            }
        )
        for reason, count in done["refused"].items():
            progress(f"note: {count} refused: {reason}")
    if done["left"]:
        fail(Exit.FAILED, f"{done['left']} letters are left: there was no time for them; run it again")


def _place(text: str) -> str:
    partition, _, offset = text.partition("/")
    if not (partition.isascii() and partition.isdecimal() and offset.isascii() and offset.isdecimal()):
        fail(Exit.USAGE, f"{text!r} is not the place of a letter, such as 3/17")
    return f"{int(partition)}/{int(offset)}"
