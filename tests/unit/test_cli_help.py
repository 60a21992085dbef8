"""Every operator's command explains itself: an example and the exit codes."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from infra import cli_operate
from infra.cli_client import Exit

root = typer.Typer()
cli_operate.add_to(root)


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path
        return
    for name, child in children.items():
        yield from _commands(child, (*path, name))


@pytest.mark.parametrize("path", list(_commands(typer.main.get_command(root))), ids=" ".join)
def test_help_holds_an_example_and_the_exit_codes(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(root, [*path, "--help"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert "Example: " in result.stdout
    assert f"hub {' '.join(path)}" in result.stdout
    assert all(f"{code.value} " in result.stdout for code in Exit)
    assert "--output" in result.stdout
