"""The members of a unit are staged and examined, in batches; what they come to is a `Muster`.

Those of a directory are copied by the readers that examine them, those of an archive file are
unpacked first. What has been staged is durable, and noted, when a batch ends.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple

from watcher.core.errors import DocumentError, FullError, StorageError
from watcher.core.file import Candidate, Refusal, RefusalCode
from watcher.core.muster import WAITING, Muster, Part
from watcher.core.policy import Drop, Identify, Limits
from watcher.core.route import identify
from watcher.core.settle import Quiet
from watcher.core.unit import Kind, Reason, Unit, is_packed
from watcher.io import files, journal, sources
from watcher.io.room import free
from watcher.io.unpacking import LISTING, shown
from watcher.io.workers import Workers
from watcher.stages import pending, reading, unit_promise
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts
from watcher.stages.unit_promise import BATCH, folder_of
from watcher.stages.unit_record import Member

BYTES: Final = 128 << 20  # of a batch, unless one member has more
NESTED: Final = "It is an archive file within a unit."
NOTHING: Final = "It holds no file that could be taken."
CHANGED: Final = Refusal(RefusalCode.CHANGED, "It changed while its unit was read.")


class Found(NamedTuple):
    """A member to be examined: as it is seen, its path in the unit, and its name if staged."""

    candidate: Candidate
    inside: bytes
    staged: str = ""


@dataclass
class Mustering:
    """One unit on its way into its staging folder."""

    parts: Parts
    rules: Identify
    limits: Limits
    workers: Workers
    thread: Hop  # that of the drop
    drop: Drop
    unit: Unit
    unit_id: str
    quiet: Quiet
    muster: Muster = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is known of it yet."""
        self.muster = Muster(self.drop.strict)
        self._folder = folder_of(self.parts, self.unit_id)
        self._is_archive = self.unit.kind is Kind.ARCHIVE

    async def run(self) -> Muster:
        """What all its members come to. StorageError, MissingPlaceError, WorkerError, Stopped."""
        await self.thread(self._require_room)
        if self._is_archive and not await self._unpack():
            return self.muster
        waiting = _batches(self._unpacked() if self._is_archive else self._dropped())
        while batch := await self.thread(next, waiting, None):
            self.parts.check_stop()
            replies = await self.workers.examine([self._request(each) for each in batch])
            pending.tell_readers(self.parts, None)
            noted = [self._judge(*pair) for pair in zip(batch, replies, strict=True)]
            if self.muster.verdict == "goes":  # else nothing of it is wanted
                await self.thread(unit_promise.note, self.parts, self.unit_id, noted)
        await self.thread(self._look_again)
        return self.muster

    def _require_room(self) -> None:
        """FullError where not even what lies there would fit: others' room is not taken for that.

        Of a compressed archive this is the least that it comes to.
        """
        size = sum(seen.size for _, seen in self.unit.sources)
        prearchive = self.parts.storage.require("prearchive")
        if size > free(prearchive).bytes_free:
            text = "the unit is larger than the room that is left"
            raise FullError(text, number=errno.ENOSPC, place=self._folder)

    def _look_again(self) -> None:
        """A source that is another by now was not whole when the unit was said to be."""
        for path, seen in self.unit.sources:
            found = sources.print_in(self.drop.path, path)
            if found is None or not found.same_content(seen):
                self.muster.take(b"", path, CHANGED)

    # -- an archive file --------------------------------------------------------------------------

    async def _unpack(self) -> bool:
        """Whether all of an archive lies in the staging folder."""
        name, seen = self.unit.sources[0]
        archive = Candidate(self.drop.name, name, seen)
        own = {"limits": asdict(self.limits), "ignore": list(self.drop.ignore)}
        ask = reading.request(None, self.drop, archive, tags=(), copy=False, quiet=self.quiet)
        reply = await self.workers.unpack({**ask, **own, "into": self._folder})
        pending.tell_readers(self.parts, None)
        if "members" in reply:
            if not reply["members"]:
                self.muster.refuse(Reason(RefusalCode.ARCHIVE_FILE, b"", NOTHING))
            return bool(reply["members"])
        for each in reply.get("refused", ()):
            code, member = RefusalCode(each["code"]), os.fsencode(each["member"])
            self.muster.refuse(Reason(code, member, each["text"]))
        if "refused" not in reply:
            answer = reading.answer(archive, reply)
            if isinstance(answer, Refusal):
                self.muster.take(b"", name, answer)
            elif isinstance(answer, StorageError):
                self.muster.fail(name, answer)
        return False

    def _unpacked(self) -> Iterator[Found]:
        """The members of an archive, as its listing names them."""
        for line in journal.lines(os.path.join(self._folder, LISTING)):
            member, staged = _listed(line)
            found = files.print_of(os.path.join(self._folder, staged))
            if found is None:
                raise DocumentError("what was unpacked of an archive is gone")
            path = self.unit.name + b"/" + member
            yield Found(Candidate(self.drop.name, path, found), member, staged)

    # -- members ----------------------------------------------------------------------------------

    def _dropped(self) -> Iterator[Found]:
        """The files of a directory, or the one file."""
        for path, seen in self.unit.sources:
            inside = path.removeprefix(self.unit.name + b"/")
            yield Found(Candidate(self.drop.name, path, seen), inside)

    def _request(self, each: Found) -> dict[str, Any]:
        """A question to the readers; nothing is copied any more where nothing goes."""
        if self._is_archive:
            here = Drop(name=self.drop.name, path=self._folder, after="keep")
            staged = replace(each.candidate, path=os.fsencode(each.staged))
            return reading.request(
                None, here, staged, tags=self.rules.tags, copy=False, quiet=Quiet.LONG
            )
        into = self._folder if self.muster.verdict == "goes" else None
        return reading.request(
            into, self.drop, each.candidate, tags=self.rules.tags, copy=True, quiet=self.quiet
        )

    def _judge(self, each: Found, reply: Mapping[str, Any]) -> Member:
        """One answer, told to the muster, and what is to be noted of it."""
        path = each.candidate.path
        source = self.unit.name if self._is_archive else path
        answer = reading.answer(each.candidate, reply)
        if isinstance(answer, reading.Whole):
            part = self.muster.take(each.inside, source, None)
            found = answer.examined
            staged = found.temp or each.staged
            identity = identify(
                found.header,
                drop=self.drop,
                path=self._place(each),
                identify=self.rules,
                projects=self.parts.projects,
            )
            known = (found.digest, found.header, identity)
            return Member(part, path, staged, found.print, "", *known)
        if isinstance(answer, StorageError):
            part, text = self.muster.fail(source, answer), str(answer)
        else:
            part, text = self._refused(each, source, answer), answer.text
        return Member(part, path, each.staged, each.candidate.print, text)

    def _refused(self, each: Found, source: bytes, refusal: Refusal) -> Part:
        ending = is_packed(each.inside)
        if ending and refusal.code is RefusalCode.NOT_DICOM:
            refusal = replace(refusal, code=RefusalCode.ARCHIVE_FILE, text=NESTED)
        elif self._is_archive and refusal.code in WAITING:  # the archive waits, not the member
            where = shown(os.fsdecode(each.candidate.path))
            refusal = replace(refusal, text=f'A member is not whole: "{where}". {refusal.text}')
        return self.muster.take(each.inside, source, refusal)

    def _place(self, each: Found) -> bytes:
        """Where a member lies for the layout: those of an archive as if unpacked beside it."""
        if not self._is_archive:
            return each.candidate.path
        return os.path.join(os.path.dirname(self.unit.name), each.inside)


def _listed(line: bytes) -> tuple[bytes, str]:
    try:
        values = json.loads(line)
        return os.fsencode(values["path"]), str(values["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise DocumentError("the list of what was unpacked can't be read") from error


def _batches(found: Iterable[Found]) -> Iterator[Sequence[Found]]:
    """So many members as are read in one step."""
    batch: list[Found] = []
    room = BYTES
    for each in found:
        room -= each.candidate.print.size
        if batch and (room < 0 or len(batch) == BATCH):
            yield batch
            batch, room = [], BYTES - each.candidate.print.size
        batch.append(each)
    if batch:
        yield batch
