"""A wake-up. It carries nothing: whoever is woken asks the ledger what is due."""

import anyio


class Bell:
    """Rung in the event loop; a ring while nobody waits is kept until somebody does."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        """Wake whoever waits."""
        self._event.set()

    async def wait(self, seconds: float | None) -> None:
        """Until rung, or for so long."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        self._event = anyio.Event()
