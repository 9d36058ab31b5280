"""Moments and spans as people and programs read them."""

from datetime import UTC, datetime

from watcher.core.notation import format_duration


def iso(moment: float) -> str:
    """A moment in seconds since the epoch, as ISO 8601 in UTC: `2026-06-19T09:14:25.123Z`."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def ago(moment: float, now: float) -> str:
    """How long ago a moment was: `5 min ago`; `just now` within a second or if it is to come."""
    seconds = now - moment
    return f"{format_duration(seconds)} ago" if seconds >= 1 else "just now"
