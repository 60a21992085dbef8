"""Reads the named statements of a `.sql` file.

A statement begins with the line `-- name: thing` and its next comment line says what it is for.
"""

import re
from collections.abc import Mapping
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load_statements(thing: str) -> Mapping[str, str]:
    """Every statement in `hub/store/<thing>.sql` by its name."""
    text = files("hub.store").joinpath(f"{thing}.sql").read_text()
    parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
