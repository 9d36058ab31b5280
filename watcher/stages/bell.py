"""A wake-up. It carries nothing: whoever is woken asks the ledger what is due."""

import anyio


class Bell:
    """Rung in the event loop; a ring while nobody waits is kept until somebody does."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._others: list[Bell] = []

    def ring(self) -> None:
        """Wake whoever waits."""
        self._event.set()
        for each in self._others:
            each.ring()

    def another(self) -> "Bell":
        """One that is rung with this one, for somebody else to wait on."""
        self._others.append(Bell())
        return self._others[-1]

    async def wait(self, seconds: float | None) -> None:
        """Until rung, or for so long."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        self._event = anyio.Event()
