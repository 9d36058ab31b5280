"""The picture of the installation as Prometheus reads it (spec 12): names, units and HELP texts.

Conventions: prometheus.io/docs/practices/naming. Values of labels are names of drops, and words of
ours: statuses, stores, events. Never a UID, a label or a path.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from watcher.core.events import EVENTS
from watcher.core.session import Status

CONDITIONS: Final = tuple(sorted(name for name, event in EVENTS.items() if event.cleared_by))
WAITING: Final = tuple(s.value for s in Status if s not in {Status.ARCHIVED, Status.DELETED})
SESSIONS: Final = (*WAITING, Status.ARCHIVED.value)
OUTCOMES: Final = {"filed": "filed", "duplicate": "duplicates", "quarantined": "quarantined"}

Document = Mapping[str, Any]
Samples = Iterator[tuple[tuple[str, ...], Any]]


def text(document: Document) -> bytes:
    """The metrics in Prometheus' text format. What is not known is left out."""
    registry = CollectorRegistry()
    registry.register(_Picture(document))
    return generate_latest(registry)


class _Picture(Collector):
    def __init__(self, document: Document) -> None:
        self._document = document

    def collect(self) -> Iterator[Metric]:
        """Every family, each with its HELP text."""
        for name, (help_, labels, samples) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"watcher_{name}", help_, labels=labels)
            yield _filled(gauge, samples(self._document))
        for name, (help_, labels, samples) in _COUNTERS.items():
            counter = CounterMetricFamily(f"watcher_{name}", help_, labels=labels)
            yield _filled(counter, samples(self._document))


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, samples: Samples
) -> GaugeMetricFamily | CounterMetricFamily:
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, float(value))
    return family


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None


def _build(document: Document) -> Samples:
    yield (document["version"],), 1


def _heartbeat(document: Document) -> Samples:
    yield (), _seconds(document["heartbeat"])


def _interval(document: Document) -> Samples:
    yield (), document["every"]


def _start(document: Document) -> Samples:
    yield (), _seconds(document["started"])


def _sessions(document: Document) -> Samples:
    return (((each,), document["sessions"].get(each, 0)) for each in SESSIONS)


def _oldest(document: Document) -> Samples:
    return (((each,), document["oldest"].get(each, 0)) for each in WAITING)


def _conditions(document: Document) -> Samples:
    return (((each,), document["open_conditions"].get(each, 0)) for each in CONDITIONS)


def _quarantine(document: Document) -> Samples:
    yield (), len(document["quarantine"]) + document["more_quarantine"]


def _lost(document: Document) -> Samples:
    yield (), document["lost"]


def _files(document: Document) -> Samples:
    return (
        ((drop["name"], outcome), drop[key])
        for drop in document["drops"]
        for outcome, key in OUTCOMES.items()
    )


def _of_drops(key: str) -> Callable[[Document], Samples]:
    return lambda document: (((each["name"],), each[key]) for each in document["drops"])


def _watched(document: Document) -> Samples:
    known = (each for each in document["drops"] if each["watch"])
    return (((each["name"],), each["watch"] == "native") for each in known)


def _of_stores(key: str) -> Callable[[Document], Samples]:
    return lambda document: (((each["store"],), each[key]) for each in document["stores"])


_Family = tuple[str, tuple[str, ...], Callable[[Document], Samples]]

_GAUGES: Final[Mapping[str, _Family]] = {
    "build_info": ("The version that runs; always 1.", ("version",), _build),
    "start_time_seconds": ("When this run began, in seconds since the epoch.", (), _start),
    "heartbeat_timestamp_seconds": (
        "When the daemon was last known to be alive, in seconds since the epoch.",
        (),
        _heartbeat,
    ),
    "heartbeat_interval_seconds": ("How often it says so: log.heartbeat.", (), _interval),
    "sessions": (
        "Sessions by status. CONFLICT: the data disagree; ERROR: the machine could not.",
        ("status",),
        _sessions,
    ),
    "session_oldest_seconds": (
        "Time since the first file of the oldest session in this status; 0: there is none.",
        ("status",),
        _oldest,
    ),
    "files_waiting": ("Files of a drop that are not filed yet.", ("drop",), _of_drops("waiting")),
    "units_waiting": (
        "Folders and archive files of a drop that have not landed.",
        ("drop",),
        _of_drops("units"),
    ),
    "oldest_pending_seconds": (
        "Time since the first of a drop's waiting files was seen; 0: none waits.",
        ("drop",),
        _of_drops("oldest_pending"),
    ),
    "drop_up": ("Whether a drop is there.", ("drop",), _of_drops("available")),
    "drop_watched": (
        "Whether change events tell of a drop's files; 0: they are found by looking.",
        ("drop",),
        _watched,
    ),
    "storage_up": ("Whether a store is there.", ("store",), _of_stores("available")),
    "storage_free_bytes": (
        "Free on the file system of a store, for the daemon's user.",
        ("store",),
        _of_stores("free"),
    ),
    "storage_size_bytes": (
        "Size of the file system of a store.",
        ("store",),
        _of_stores("total"),
    ),
    "open_conditions": (
        "Conditions that are raised and not cleared, by the event that raised them.",
        ("event",),
        _conditions,
    ),
    "quarantine_entries": ("Open entries of the quarantine.", (), _quarantine),
}
_COUNTERS: Final[Mapping[str, _Family]] = {
    "files": (
        "Files taken from a drop since the start: filed, here already, or put into quarantine.",
        ("drop", "outcome"),
        _files,
    ),
    "log_lines_lost": ("Lines that a log could not be written to, since the start.", (), _lost),
}


def names() -> Mapping[str, tuple[str, ...]]:
    """Every metric by the name that its samples have, with its labels' names."""
    gauges = {f"watcher_{name}": labels for name, (_, labels, _) in _GAUGES.items()}
    return gauges | {f"watcher_{name}_total": labels for name, (_, labels, _) in _COUNTERS.items()}
