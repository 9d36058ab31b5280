"""What says events: all that stages and devices are given in place of a logger."""

from typing import Protocol


class Emit(Protocol):
    """Says one event. What the stages are given in place of a logger."""

    def __call__(self, event: str, /, **fields: object) -> None: ...  # noqa: D102  the class says it
