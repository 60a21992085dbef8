"""`docker-compose.yml` as compose reads it: variables filled in with their defaults, the secrets with made-up values."""

import argparse
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from typer.core import TyperGroup
from typer.main import get_command

from infra.cli import app
from infra.dev.partner.options import Options, add_arguments, from_arguments

TOP: Final = Path(__file__).parents[2]
FILE: Final = TOP / "docker-compose.yml"
IMAGE: Final = "ocpi-roaming-hub:local"
SECRETS: Final = {"HUB_SECRETS_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "HUB_OPERATOR_TOKEN": "a-token"}
"""What has to be given: the key is the Base64 of 32 bytes."""

_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def variables() -> dict[str, str | None]:
    """Every variable that the file reads, with its default; None where one has to be given."""
    found = _VARIABLE.findall(FILE.read_text())
    return {name: text if sign == "-" else None for name, sign, text in found}


def load(**given: str) -> Mapping[str, Any]:
    """The file with the secrets, these variables and the defaults of all others."""
    return _read(tuple((SECRETS | given).items()))


@cache
def _read(items: tuple[tuple[str, str], ...]) -> Mapping[str, Any]:
    given = dict(items)

    def fill(match: re.Match[str]) -> str:
        name, sign, text = match.groups()
        return given[name] if sign != "-" else given.get(name) or text

    compose: Mapping[str, Any] = yaml.safe_load(_VARIABLE.sub(fill, FILE.read_text()))
    return compose


def parts() -> dict[str, dict[str, Any]]:
    """The services that run the project's own image."""
    return {name: service for name, service in load()["services"].items() if service["image"] == IMAGE}


def environment(name: str) -> dict[str, str]:
    """The variables that a service is given."""
    given: dict[str, str] = parts()[name].get("environment", {})
    return given


def command_line(name: str) -> tuple[tuple[str, ...], list[str]]:
    """The service's command: which sub-command of `hub` it is, and what stands behind that.

    Raises:
        LookupError: there is no such sub-command.
    """
    words: list[str] = list(parts()[name]["command"])
    path: tuple[str, ...] = ()
    command = get_command(app)
    while isinstance(command, TyperGroup):
        if not words or words[0] not in command.commands:
            raise LookupError(f"hub {' '.join((*path, *words))}")
        command, path = command.commands[words[0]], (*path, words.pop(0))
    return path, words


def simulators() -> dict[str, Options]:
    """The simulated partners with the options that they are started with."""
    found = {}
    for name in parts():
        path, rest = command_line(name)
        if path == ("simulate",):
            parser = argparse.ArgumentParser(exit_on_error=False)
            add_arguments(parser)
            found[name] = from_arguments(parser.parse_args(["--role", *rest]))
    return found
