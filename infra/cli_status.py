"""`hub status` and `hub settings`: the hub itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from hub.errors import ConfigurationError
from hub.operations.listing import list_settings
from hub.settings import load_settings
from infra.cli_client import AdminClient, Exit, fail, local_metrics
from infra.cli_output import (
    DEFAULT_DATA_DIR,
    DataDir,
    Form,
    Output,
    print_facts,
    print_heading,
    print_json,
    print_rows,
)


def status(output: Output = Form.TABLE, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show the state of the hub: database, Kafka, processes, what it holds, what became of messages lately.

    Example: hub status -o json
    """
    found = AdminClient.find(data_dir).get("/status") | {"metrics": local_metrics(data_dir)}
    if output is Form.JSON:
        print_json(found)
    else:
        _print_status(found)
    if not (found["database"]["is_reachable"] and found["kafka"]["is_reachable"]):
        raise typer.Exit(Exit.DEGRADED)


def settings(
    of_hub: Annotated[bool, typer.Option("--of-hub", help="Ask the running hub instead of this environment.")] = False,
    output: Output = Form.TABLE,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List every HUB_* setting with its value here, its default and its meaning; secrets are masked.

    Example: HUB_PORT=9000 hub settings
    """
    rows = AdminClient.find(data_dir).get("/settings") if of_hub else _settings_here()
    if output is Form.JSON:
        print_json(rows)
        return
    print_rows(
        ("SETTING", "VALUE", "DEFAULT", "MEANING"),
        ((row["variable"], row["value"], row["default"], row["description"]) for row in rows),
    )


def _settings_here() -> list[dict[str, Any]]:
    try:
        rows = list_settings(load_settings())
    except ConfigurationError as error:
        fail(Exit.FAILED, str(error))
    return [asdict(row) for row in rows]


def _print_status(found: Mapping[str, Any]) -> None:
    counts = found["counts"] or {}
    print_facts(
        {
            "hub party": found["hub_party"],
            "versions URL": found["versions_url"],
            "agreements": found["agreements"],
            "database": _reached(found["database"]),
            "kafka": _reached(found["kafka"]),
            "directory version": counts.get("directory_version"),
            "platforms": _counted(counts.get("platforms", {})),
            "parties": _counted(counts.get("parties", {})),
            "objects": _counted(counts.get("objects", {})),
            "dead letters": _letters(found["dead_letters"]),
        }
    )
    _section("Processes", ("NAME", "PROCESS", "HOLDS VERSION", "LEASE"), counts.get("holders", ()), _holder)
    pages = [{"name": name, "url": url} for name, url in found["metrics"].items()]
    _section("Metrics", ("PROCESS", "PAGE"), pages, lambda row: tuple(row.values()))
    _section("Behind", ("WORKER", "TOPIC", "RECORDS"), found["lag"], lambda row: tuple(row.values()))
    title = f"Outcomes of the last {found['recent_minutes']} minutes"
    _section(title, ("KIND", "VERDICT", "COUNT"), counts.get("recent", ()), lambda row: tuple(row.values()))


def _section(
    title: str,
    columns: tuple[str, ...],
    rows: Iterable[Mapping[str, Any]],
    shown: Callable[[Mapping[str, Any]], tuple[Any, ...]],
) -> None:
    listed = list(rows)
    if listed:
        print_heading(title)
        print_rows(columns, map(shown, listed))


def _holder(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["name"], row["process_id"], row["version"], f"{row['lease_seconds']:.0f} s"


def _letters(found: Mapping[str, int] | None) -> str | None:
    return None if found is None else f"{found['open']} open of {found['total']}"


def _reached(found: Mapping[str, Any]) -> str:
    return "reachable" if found["is_reachable"] else f"not reachable: {found['detail']}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
