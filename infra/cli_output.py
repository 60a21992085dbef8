"""What commands print: tables for people, JSON for programs, both on stdout; progress goes to stderr.

Every row of a table is one line, never cut, however wide the terminal. Text of partners is shown with its control characters
escaped.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

_ANY_WIDTH: Final = 100_000


class Form(StrEnum):
    """How a command prints its data."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[Form, typer.Option("--output", "-o", help="table for people, json for programs.")]
DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Data directory of `hub up`, where the hub's address and token are found.")
]
DEFAULT_DATA_DIR: Final = Path(".hub")


def progress(message: str) -> None:
    """One line about what is going on, on stderr."""
    typer.echo(message, err=True)


def print_json(value: Any) -> None:
    """The data as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "") -> None:
    """A table with these headings; without rows, `empty` on stderr."""
    listed = list(rows)
    if not listed and empty:
        progress(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in listed:
        table.add_row(*(Text(cell(value)) for value in row))
    _print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """One thing as name and value lines; what is None is left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, value in facts.items():
        if value is not None:
            table.add_row(name, Text(cell(value)))
    _print(table)


def print_heading(text: str) -> None:
    """A blank line and a title over the next table."""
    typer.echo(f"\n{text}")


def cell(value: Any) -> str:
    """One value as text: no word for nothing, lists with commas, nothing that could steer a terminal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(cell(part) for part in value)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))


def _print(table: Table) -> None:
    console = Console(file=sys.stdout, width=_ANY_WIDTH, highlight=False)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
