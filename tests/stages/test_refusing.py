"""Units in quarantine: refused whole, given back whole; strays of those that land."""

import contextlib
import errno
import json
import os
from dataclasses import replace

import pytest
from mortal import mode, mortal

from watcher.core.errors import RefusedError, StorageError
from watcher.core.file import Fingerprint, Refusal, RefusalCode
from watcher.core.unit import Kind, Reason, Unit
from watcher.io import files, tables
from watcher.io.ignore import Ignore
from watcher.io.sources import look_wholly
from watcher.stages import requeue as acts
from watcher.stages.parts import Stopped
from watcher.stages.quarantine import put_aside
from watcher.stages.refusing import Stray, refuse, set_strays_aside, supersede_unit, sweep
from watcher.stages.reindex import index

NO_STUDY = Reason(RefusalCode.MISSING_UID, b"s/2", "It has no StudyInstanceUID.")
HOSTILE = Reason(RefusalCode.ARCHIVE_FILE, b"", "A member is a link.")
TEXT = Refusal(RefusalCode.NOT_DICOM, "It is no DICOM file.")
FOLDER = {"u/s/1": b"one", "u/s/2": b"two", "u/notes.txt": b"three"}


@pytest.fixture(autouse=True)
def noon(bench):
    """No test meets a midnight: files of another day are set aside elsewhere."""
    bench.parts.clock.ahead = 43200 - bench.parts.clock.now() % 86400


def dropped(bench):
    """What lies in the drop, by path; what is ignored too."""
    return {path: files.read(bench.path(path)) for path in files.walk(bench.drop.path)}


def put(bench, contents):
    """These files in the drop."""
    for name, content in contents.items():
        os.makedirs(os.path.dirname(bench.path(name)), exist_ok=True)
        with open(bench.path(name), "wb") as file:
            file.write(content)


def seen(bench, *names):
    return tuple((os.fsencode(name), files.print_of(bench.path(name))) for name in names)


def unit(bench, name="u", kind=Kind.FOLDER, contents=None, markers=()):
    """A unit that lies in the drop."""
    contents = FOLDER if contents is None else contents
    put(bench, {**contents, **dict.fromkeys(markers, b"")})
    return Unit(
        bench.drop.name, os.fsencode(name), kind, seen(bench, *contents), seen(bench, *markers)
    )


def entries(bench):
    return bench.parts.registry.aside(only_open=False)


def only(bench):
    (entry,) = entries(bench)
    return entry


def held(bench):
    """The files of the only entry, by their path in it."""
    folder = acts.folder_of(bench.parts, only(bench))
    return {
        path: files.read(os.path.join(folder, path))
        for path in acts.paths(bench.parts, only(bench))
    }


def stored(bench):
    """Everything below the quarantine but its marker, hidden things too."""
    store = bench.parts.storage.path("quarantine")
    return [path for path in files.walk(store) if path != ".watcher-store"]


def drops(bench, **changes):
    return {bench.drop.name: replace(bench.drop, **changes)}


def requeue(bench, entry, **changes):
    return acts.requeue(bench.parts, drops(bench, **changes), entry, who="anna", reason="mended")


def settled(bench):
    return [each["outcome"] for each in bench.events("quarantine.settled")]


def lose(bench):
    """The ledger knows nothing of the quarantine, nor of sources that are taken."""
    with bench.parts.ledger.write() as tx:
        for table in ("quarantine", "taken", "condition"):
            tx.exec_driver_sql(f"DELETE FROM {table}")
    bench.parts.conditions.refresh()


class TestRefusing:
    """All of a unit, as one entry."""

    def test_it_is_moved_whole_with_every_reason(self, bench):
        """Files, names and reasons are in one entry, which is said once; the drop has nothing."""
        other = replace(NO_STUDY, code=RefusalCode.BAD_UID, path=b"s/1", text="A UID is too long.")
        it = unit(bench, markers=("u/.complete", "u.complete"))
        remains = refuse(bench.parts, bench.drop, it, [NO_STUDY, other])
        assert dict.fromkeys([path for path, _ in (*it.sources, *it.markers)]) == remains
        entry = only(bench)
        assert ("missing-uid", b"u", 3, True) == (entry.code, entry.path, entry.files, entry.open)
        assert FOLDER == held(bench)
        assert [
            {"member": "s/2", "code": "missing-uid", "text": "It has no StudyInstanceUID."},
            {"member": "s/1", "code": "bad-uid", "text": "A UID is too long."},
        ] == acts.reasons(bench.parts, entry)
        (said,) = bench.events("file.quarantined")
        assert (entry.id, b"u", 0) == (said["entry"], said["path"], "level" in said)
        assert "for 2 members; the first: It has no StudyInstanceUID." in said["text"]
        assert ({}, {}) == (dropped(bench), bench.parts.receiving.taken("mri"))

    def test_an_archive_file_lies_under_its_own_name(self, bench):
        """From wherever in the drop it came; its reasons are about itself."""
        it = unit(bench, "a/b/x.zip", Kind.ARCHIVE, {"a/b/x.zip": b"PK"})
        refuse(bench.parts, bench.drop, it, [HOSTILE, HOSTILE])
        assert {"x.zip": b"PK"} == held(bench)
        entry = only(bench)
        assert ("archive-file", "A member is a link.") == (entry.code, entry.text)

    def test_what_is_kept_stays_and_is_taken(self, bench):
        """After = keep: the drop is not touched, and every source is known."""
        drop = replace(bench.drop, after="keep")
        it = unit(bench)
        assert dict(it.sources) == refuse(bench.parts, drop, it, [NO_STUDY])
        assert (FOLDER, FOLDER) == (dropped(bench), held(bench))
        assert dict(it.sources) == bench.parts.receiving.taken("mri")

    def test_a_copy_is_nobody_else_s(self, bench):
        """Who has a source open or linked changes nothing in the quarantine."""
        it = unit(bench, contents={"u/1": b"bytes"})
        os.link(bench.path("u/1"), bench.path("outside"))
        it = replace(it, sources=seen(bench, "u/1"))
        refuse(bench.parts, bench.drop, it, [NO_STUDY])
        with open(bench.path("outside"), "wb") as file:
            file.write(b"other")
        assert {"u/1": b"bytes"} == held(bench)

    @pytest.mark.parametrize(
        "name",
        ["reason.json", os.fsdecode(b"\xff\xe9\n"), "d" * 255, ".".join("x" * 50)],
    )
    def test_hostile_names_are_kept(self, bench, name):
        """Not UTF-8, with a newline, of 255 bytes, called as our reason is: all as it was."""
        contents = {f"{name}/{name}/{name}": b"x"}
        refuse(bench.parts, bench.drop, unit(bench, name, contents=contents), [NO_STUDY])
        first = f"{name}.dropped" if name == "reason.json" else name
        assert {f"{first}/{name}/{name}": b"x"} == held(bench)
        assert os.fsencode(name) == only(bench).path
        requeue(bench, only(bench))
        assert contents == dropped(bench)

    def test_a_path_longer_than_any_name_of_a_file_is_kept_beside(self, bench):
        """Drops are read folder by folder: nothing waits for ever, its bytes are in the entry."""
        deep = "/".join(["u", *["d" * 200] * 25, "f"])
        drop = bench.drop.path
        with contextlib.chdir(drop):
            for part in deep.split("/")[:-1]:
                os.mkdir(part)
                os.chdir(part)
            with open("f", "wb") as file:
                file.write(b"deep")
            seen = Fingerprint.of(os.stat("f"))
        it = Unit("mri", b"u", Kind.FOLDER, ((deep.encode(), seen),))
        refuse(bench.parts, bench.drop, it, [NO_STUDY])
        assert [b"deep"] == list(held(bench).values())
        assert not any(files.walk(drop))

    def test_a_unit_that_changed_is_not_the_one_that_was_judged(self, bench):
        """A source that is another file, or gone: nothing leaves the drop, nothing is kept."""
        it = unit(bench)
        for change in (lambda path: put(bench, {"u/s/1": b"other"}), os.remove):
            change(bench.path("u/s/1"))
            with pytest.raises(StorageError) as caught:
                refuse(bench.parts, bench.drop, it, [NO_STUDY])
            assert caught.value.number in {errno.ESTALE, errno.ENOENT}
            assert [] == stored(bench)
        assert (2, []) == (len(dropped(bench)), entries(bench))

    def test_a_path_that_leaves_the_drop_is_none_of_a_unit(self, bench):
        """Refused, whoever says so."""
        it = unit(bench, contents={"u/1": b"x"})
        ((_, print_),) = it.sources
        with pytest.raises(StorageError, match="leaves the drop"):
            refuse(bench.parts, bench.drop, replace(it, sources=((b"../x", print_),)), [NO_STUDY])

    def test_one_that_can_t_be_removed_is_known(self, bench):
        """A folder that may not be written: what remains is told, and recorded as taken."""
        it = unit(bench)
        with mode(bench.path("u/s"), 0o555):
            remains = refuse(bench.parts, bench.drop, it, [NO_STUDY])
        assert {b"u/s/1", b"u/s/2"} == {path for path, print_ in remains.items() if print_}
        assert {b"u/s/1", b"u/s/2"} == set(bench.parts.receiving.taken("mri"))
        assert FOLDER == held(bench)


class TestAgain:
    """What a second call, or a start, makes of what was begun."""

    def test_a_second_call_carries_on(self, bench):
        """The sources lie there still, as after a crash: nothing is copied or said again."""
        it = unit(bench)
        refuse(bench.parts, replace(bench.drop, after="keep"), it, [NO_STUDY])
        bench.parts.clock.ahead += 86400.0  # on another day
        refuse(bench.parts, bench.drop, it, [NO_STUDY])
        assert ({}, FOLDER) == (dropped(bench), held(bench))
        reasons = [path for path in stored(bench) if path.endswith("reason.json")]
        assert (1, 1) == (len(reasons), len(bench.events("file.quarantined")))

    def test_one_that_ends_meanwhile_is_no_entry(self, bench):
        """The program ends while files are copied: all is in the drop, a start sweeps the rest."""
        it = unit(bench)
        bench.parts.stopping.set()
        with pytest.raises(Stopped):
            refuse(bench.parts, bench.drop, it, [NO_STUDY])
        assert (FOLDER, []) == (dropped(bench), entries(bench))
        assert 0 == index(bench.parts)
        store = bench.parts.storage.path("quarantine")
        assert [".watcher-store"] == [*files.walk(store)]
        assert [] == os.listdir(os.path.join(store, "mri"))

    def test_without_a_ledger_it_is_known_again(self, bench):
        """With its reasons; said; and what had not left the drop is taken: no smaller unit."""
        it = unit(bench)
        with mode(bench.path("u/s"), 0o555):
            refuse(bench.parts, bench.drop, it, [NO_STUDY])
        entry = only(bench)
        lose(bench)
        assert 1 == index(bench.parts)
        assert entry == replace(only(bench), set_aside=entry.set_aside)
        assert [f"quarantine/{entry.id}"] == list(bench.parts.conditions.open())
        assert dict(it.sources).items() >= bench.parts.receiving.taken("mri").items()
        assert {b"u/s/1", b"u/s/2"} <= set(bench.parts.receiving.taken("mri"))
        assert 1 == len(acts.reasons(bench.parts, entry))

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '[["?"]]', '[["aGk=", 1]]'])
    def test_a_damaged_promise_is_none(self, bench, text):
        """The entry is listed all the same."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        path = os.path.join(acts.folder_of(bench.parts, only(bench)), ".watcher-sources")
        files.swap(path, text.encode())
        lose(bench)
        assert 1 == index(bench.parts)
        assert ({}, FOLDER) == (bench.parts.receiving.taken("mri"), held(bench))

    def test_nothing_else_is_swept(self, bench):
        """Entries, other hidden things, files where folders should be: all stay."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        store = bench.parts.storage.path("quarantine")
        for name in ("mri/.unit-file", "mri/2026-01-01/.other/x", ".unit-a/b/c"):
            os.makedirs(os.path.dirname(os.path.join(store, name)), exist_ok=True)
            with open(os.path.join(store, name), "wb"):
                pass
        before = stored(bench)
        sweep(bench.parts)
        assert before == stored(bench)


class TestSuperseding:
    """An entry whose unit came again."""

    def test_a_unit_that_landed_closes_what_was_refused_of_its_name(self, bench):
        """Of the same drop and name only; the files stay, and it is said."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        v = unit(bench, "v", contents={"v/1": b"x"})
        refuse(bench.parts, bench.drop, v, [NO_STUDY])
        for other in (replace(v, name=b"w"), replace(v, drop="ct")):
            supersede_unit(bench.parts, other)
        assert [] == settled(bench)
        supersede_unit(bench.parts, v)
        assert (["superseded"], [True, False]) == (
            settled(bench),
            [each.open for each in sorted(entries(bench), key=lambda each: each.path)],
        )


class TestGivingBack:
    """`requeue` of a unit."""

    @pytest.mark.parametrize(
        ("name", "kind", "contents"),
        [
            ("u", Kind.FOLDER, FOLDER),
            ("one.dcm", Kind.FILE, {"one.dcm": b"1"}),
            ("a/x.zip", Kind.ARCHIVE, {"a/x.zip": b"PK"}),
        ],
    )
    def test_it_is_back_whole_under_its_name(self, bench, name, kind, contents):
        """With the times of its files; the entry is closed, said, and gone."""
        it = unit(bench, name, kind, contents)
        refuse(bench.parts, bench.drop, it, [NO_STUDY])
        assert not requeue(bench, only(bench)).open
        assert contents == dropped(bench)
        times = {path: print_.mtime_ns for path, print_ in it.sources}
        back = {path: print_.mtime_ns for path, print_ in seen(bench, *contents)}
        assert (times, ["requeued"], []) == (back, settled(bench), stored(bench))
        assert {} == bench.parts.conditions.open()

    @pytest.mark.parametrize("taken", ["u/other", "u", "u/s/1"])
    def test_a_taken_name_refuses_it(self, bench, taken):
        """Whatever has the name: nothing is overwritten or mixed, the unit stays in quarantine."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        files.remove_empty_below(bench.path("u"))
        put(bench, {taken: b"theirs"})
        if taken != "u":
            os.mkdir(bench.path("u/a"))
        with pytest.raises(RefusedError, match="is taken"):
            requeue(bench, only(bench))
        assert taken == "u" or os.path.isdir(bench.path("u/a"))
        assert ({taken: b"theirs"}, FOLDER) == (dropped(bench), held(bench))
        assert only(bench).open

    def test_folders_that_it_left_empty_are_no_hindrance(self, bench):
        """They go; one in which only a link lies is somebody's."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        os.symlink("/nowhere", bench.path("u/s/link"))
        with pytest.raises(RefusedError, match="is taken"):
            requeue(bench, only(bench))
        os.remove(bench.path("u/s/link"))
        requeue(bench, only(bench))
        assert FOLDER == dropped(bench)

    def test_a_try_that_was_cut_off_is_finished(self, bench):
        """All of it lies in the drop again, or the entry has lost its folder: it is closed."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        put(bench, FOLDER)
        requeue(bench, only(bench))
        assert (FOLDER, ["requeued"], []) == (dropped(bench), settled(bench), stored(bench))
        bench.parts.registry.set_aside(replace(only(bench), open=True))
        assert not requeue(bench, only(bench)).open
        assert FOLDER == dropped(bench)

    def test_half_of_an_earlier_try_is_not_used(self, bench):
        """What a kill left under the ignored name goes: the unit has what it had."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        half = f".watcher-requeue-{only(bench).id}"
        put(bench, {f"{half}/s/1": b"on", f"{half}/more": b"?"})
        requeue(bench, only(bench))
        assert FOLDER == dropped(bench)

    def test_no_link_is_followed(self, bench, tmp_path):
        """Somebody put a link where the ignored folder is made: what it leads to is untouched."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/x").write_bytes(b"x")
        os.symlink(tmp_path / "elsewhere", bench.path(f".watcher-requeue-{only(bench).id}"))
        with pytest.raises(StorageError):
            requeue(bench, only(bench))
        assert (b"x", FOLDER) == ((tmp_path / "elsewhere/x").read_bytes(), held(bench))

    @pytest.mark.parametrize("kind", [Kind.FOLDER, Kind.FILE])
    def test_what_never_left_is_no_copy(self, bench, kind):
        """Sources that could not be removed yet go as soon as they can: not taken for it."""
        contents = {"u/1": b"x"} if kind is Kind.FOLDER else {"u": b"x"}
        it = unit(bench, kind=kind, contents=contents)
        with mode(bench.path("u" if kind is Kind.FOLDER else ""), 0o555):
            refuse(bench.parts, bench.drop, it, [NO_STUDY])
        with pytest.raises(RefusedError, match="is taken"):
            requeue(bench, only(bench))
        assert contents == held(bench)

    def test_a_drop_that_may_not_be_written_refuses_it(self, bench):
        """Nothing is changed there or here."""
        it = unit(bench, "a/x.zip", Kind.ARCHIVE, {"a/x.zip": b"PK"})
        refuse(bench.parts, bench.drop, it, [HOSTILE])
        with mode(bench.path("a"), 0o555), pytest.raises(RefusedError, match="be written"):
            requeue(bench, only(bench))
        assert {"x.zip": b"PK"} == held(bench)

    def test_an_entry_that_somebody_changed_is_theirs(self, bench):
        """Another thing beside the unit: refused, with where it lies."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        folder = acts.folder_of(bench.parts, only(bench))
        files.swap(os.path.join(folder, "more"), b"x")
        with pytest.raises(RefusedError, match="more than one thing") as caught:
            requeue(bench, only(bench))
        assert folder in caught.value.hint

    def test_purging_takes_its_name_first(self, bench):
        """What is cut off is no smaller unit: nothing of it can be given back any more."""
        refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
        entry, folder = only(bench), acts.folder_of(bench.parts, only(bench))
        os.chmod(os.path.join(folder, "u/s"), 0o555)
        with mortal(), pytest.raises(StorageError):
            acts.purge(bench.parts, entry, who="anna", reason="x")
        assert not os.path.exists(folder)
        (hidden,) = os.scandir(os.path.dirname(folder))
        os.chmod(os.path.join(hidden.path, "u/s"), 0o777)
        acts.purge(bench.parts, entry, who="anna", reason="x")
        assert (["purged"], []) == (settled(bench), stored(bench))


class TestOtherEntries:
    """Files that are no unit's."""

    def test_a_source_that_never_left_is_not_taken_for_the_file_given_back(self, bench):
        """It goes as soon as it can: the file comes back under another name, and is not lost."""
        put(bench, {"d/a": b"x"})
        candidate = bench.candidate("d/a")
        refusal = Refusal(RefusalCode.MISSING_UID, "It has no study.")
        with mode(bench.path("d"), 0o555):
            assert put_aside(bench.parts, bench.drop, candidate, refusal) is not None
        requeue(bench, only(bench))
        assert {"d/a": b"x", f"requeued-{only(bench).id}/a": b"x"} == dropped(bench)


class TestStrays:
    """Members that are not DICOM."""

    def staged(self, bench, content=b"staged"):
        folder = os.path.join(bench.parts.storage.incoming, "unit-1")
        files.make_folder(folder)
        files.swap(os.path.join(folder, "m7"), content)
        return os.path.join(folder, "m7")

    def test_those_of_a_folder_share_an_entry(self, bench):
        """Under their paths, at level info, waiting for nobody; their sources go, others stay."""
        it = unit(bench)
        strays = [Stray(b"u/notes.txt", TEXT), Stray(b"u/s/2", TEXT)]
        remains = set_strays_aside(bench.parts, bench.drop, it, iter(strays))
        assert {b"u/notes.txt": None, b"u/s/2": None} == remains
        assert {"u/notes.txt": b"three", "u/s/2": b"two"} == held(bench)
        assert ("not-dicom", 2) == (only(bench).code, only(bench).files)
        assert {"u/s/1": b"one"} == dropped(bench)
        assert ["info"] == [each["level"] for each in bench.events("file.quarantined")]
        assert ({}, {}) == (bench.parts.conditions.open(), bench.parts.receiving.taken("mri"))

    def test_those_of_an_archive_are_shown_below_its_name(self, bench):
        """Taken from the staging folder, which keeps them; the archive file is not touched."""
        it = unit(bench, "a/x.zip", Kind.ARCHIVE, {"a/x.zip": b"PK"})
        staged = self.staged(bench)
        dicomdir = Refusal(RefusalCode.DICOMDIR, "It is a DICOMDIR.")
        strays = [Stray(b"a/x.zip/d/notes", TEXT, staged), Stray(b"a/x.zip/LIST", dicomdir, staged)]
        assert {} == set_strays_aside(bench.parts, bench.drop, it, strays)
        (stray,) = bench.parts.registry.aside()
        assert ("not-dicom", ["a/x.zip/d/notes"]) == (stray.code, acts.paths(bench.parts, stray))
        assert {"a/x.zip": b"PK"} == dropped(bench)
        assert [b"staged"] * 2 == list(bench.kept_aside("quarantine").values())  # a list is none
        assert (b"staged", {}) == (files.read(staged), bench.parts.receiving.taken("mri"))

    def test_lists_are_an_entry_of_their_own_that_is_closed(self, bench):
        """A DICOMDIR is never a fault: kept and listed, open for nobody, with a lost ledger too."""
        it = unit(bench)
        dicomdir = Refusal(RefusalCode.DICOMDIR, "It is a DICOMDIR.")
        strays = [Stray(b"u/notes.txt", dicomdir), Stray(b"u/s/2", dicomdir)]
        set_strays_aside(bench.parts, bench.drop, it, strays)
        registry = bench.parts.registry
        (closed,) = registry.aside(only_open=False)
        assert ("dicomdir", 2, False) == (closed.code, closed.files, closed.open)
        assert ["u/notes.txt", "u/s/2"] == sorted(acts.paths(bench.parts, closed))
        assert ([], {}) == (registry.aside(), bench.parts.conditions.open())
        with bench.parts.ledger.write() as tx:
            tx.execute(tables.quarantine.delete())
        index(bench.parts)
        (again,) = registry.aside(only_open=False)
        assert ("dicomdir", 2, False) == (again.code, again.files, again.open)
        assert ([], {}) == (registry.aside(), bench.parts.conditions.open())
        requeue(bench, again)
        assert FOLDER == dropped(bench)

    @pytest.mark.parametrize("again", [b"staged", b"other"])
    def test_it_can_be_repeated(self, bench, again):
        """The same bytes are there once; other ones under the name are kept beside them."""
        it = unit(bench, "x.zip", Kind.ARCHIVE, {"x.zip": b"PK"})
        for content in (b"staged", again):
            stray = Stray(b"x.zip/notes", TEXT, self.staged(bench, content))
            set_strays_aside(bench.parts, bench.drop, it, [stray])
        assert {b"staged", again} == set(held(bench).values())
        assert len({b"staged", again}) == only(bench).files == len(held(bench))

    def test_a_later_one_of_the_day_joins_them(self, bench):
        """One entry of the unit and the day, said once, counted right."""
        it = unit(bench)
        for name in (b"u/s/1", b"u/s/2"):
            set_strays_aside(bench.parts, bench.drop, it, [Stray(name, TEXT)])
        assert (2, 1) == (only(bench).files, len(bench.events("file.quarantined")))
        requeue(bench, only(bench))
        assert FOLDER == dropped(bench)

    def test_what_is_kept_stays(self, bench):
        """After = keep: copied, and recorded as taken."""
        it = unit(bench)
        drop = replace(bench.drop, after="keep")
        (print_,) = set_strays_aside(bench.parts, drop, it, [Stray(b"u/notes.txt", TEXT)]).values()
        assert print_ == bench.parts.receiving.taken("mri")[b"u/notes.txt"]
        assert FOLDER == dropped(bench)

    def test_a_staged_file_that_is_gone_is_a_fault(self, bench):
        """The caller's staging folder was cleared: nothing is recorded."""
        it = unit(bench, "x.zip", Kind.ARCHIVE, {"x.zip": b"PK"})
        with pytest.raises(StorageError, match="staged file"):
            set_strays_aside(bench.parts, bench.drop, it, [Stray(b"x.zip/a", TEXT, "/none/m1")])
        assert [] == entries(bench)

    def test_loose_files_share_one_entry(self, bench):
        """As those of a gradual drop do: a loose file is a unit of its own."""
        for name in ("a", "b"):
            it = unit(bench, name, Kind.FILE, {name: b"x"})
            set_strays_aside(bench.parts, bench.drop, it, [Stray(os.fsencode(name), TEXT)])
        assert {"a": b"x", "b": b"x"} == held(bench)


def test_reasons_of_other_entries_are_none(bench):
    """Nor of one whose reason was damaged."""
    refuse(bench.parts, bench.drop, unit(bench), [NO_STUDY])
    path = os.path.join(acts.folder_of(bench.parts, only(bench)), "reason.json")
    values = json.loads(files.read(path))
    for damaged in (b"{", b"[]", b"{}", json.dumps({**values, "reasons": [1]}).encode()):
        files.swap(path, damaged)
        assert [] == acts.reasons(bench.parts, only(bench))
    os.remove(path)
    assert [] == acts.reasons(bench.parts, only(bench))


def test_what_a_crash_left_on_its_way_out_is_removed(bench):
    """A source of ours that lay aside when it was cut off goes; another file gets its name back."""
    put(bench, {"u/.watcher-leaving-00000000.a": b"taken", "u/.watcher-leaving-00000000.b": b"new"})
    name = ".watcher-leaving-00000000.a"
    taken = {b"u/a": files.print_of(bench.path(f"u/{name}"))}
    for _ in range(2):
        look_wholly(bench.drop.path, Ignore(), lambda: None, taken={**taken, b"u/b": taken[b"u/a"]})
        assert {"u/b": b"new"} == dropped(bench)
