"""The stages as they are configured. Those of drops share the readers, the filer, the lander."""

from collections.abc import Callable, Mapping
from functools import partial

from watcher.io.workers import Workers
from watcher.settings import Settings
from watcher.stages.filing import Filer
from watcher.stages.handing import Handing, Handings
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.landing import Lander
from watcher.stages.parts import Parts
from watcher.stages.patience import speed_of
from watcher.stages.presence import is_remote
from watcher.stages.receipts import Receipts
from watcher.stages.retention import Expiry


def intakes_of(
    settings: Settings,
    parts: Parts,
    workers: Workers,
    *,
    filed: Callable[[], None],
    low: Callable[[], bool],
) -> dict[str, Intake]:
    """The stage of each drop, by its name.

    filed: called when a session may have changed; low: whether the prearchive's disk is too full.
    """
    filer = Filer(parts)
    lander = Lander(parts, settings.identify, settings.limits, workers, filer)
    return {
        drop.name: Intake(
            parts=parts,
            drop=drop,
            rules=settings.identify,
            workers=workers,
            filer=filer,
            lander=lander,
            thread=Hop(4),
            speed=speed_of(drop, network=is_remote(drop)),
            filed=filed,
            low=low,
        )
        for drop in settings.drops
    }


def expiry_of(settings: Settings, parts: Parts) -> Expiry:
    """What purges the old entries of history and quarantine."""
    return Expiry(parts, settings.retention.history, settings.retention.quarantine)


def handings_of(settings: Settings, parts: Parts, intakes: Mapping[str, Intake]) -> Handings:
    """What hands out the receipts of the drops that want them."""
    wanted = [each for each in intakes.values() if each.drop.receipts]
    keep = settings.retention.receipts
    made = partial(Receipts, parts, keep=keep)
    return Handings(parts, [Handing(each, made(each.drop)) for each in wanted])
