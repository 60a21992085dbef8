"""What a step says about one thing that it looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Check:
    """Holds when nothing differs from what is expected; each difference is one line."""

    name: str
    differences: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it came out as expected."""
        return not self.differences


Step = Callable[[Path], Iterator[Check]]
