"""An archiving as far as its plan, written down beside the session."""

from watcher.core.life import Event
from watcher.stages import planning
from watcher.stages import promise as promises
from watcher.stages.validate import judge


def plan(bench, session):
    session = bench.parts.ledger.move(session.id, Event.ARCHIVE)
    promise = planning.plan(bench.parts, judge(bench.parts, session))
    promises.write(bench.parts, promise)
    return promise


def beside(bench, promise):
    return bench.parts.storage.beside(promise.session, "plan.json")
