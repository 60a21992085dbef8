"""What a process holds: a row under a name that nobody else gives, so that whoever lost it changes nothing any more."""

from typing import NamedTuple


class Held(NamedTuple):
    """The id of the row, and the name under which it is held."""

    held_id: str
    lease: str
