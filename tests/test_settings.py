"""The configuration file becomes one frozen value, or every fault in it is said (spec 3)."""

import dataclasses
import os
import subprocess
import sys

import pytest

from watcher import settings
from watcher.core import policy
from watcher.core.errors import ConfigurationError
from watcher.settings import tables

SMALL = '[storage]\nroot = "/srv/imaging"\n[[drop]]\npath = "/srv/drop/mri"\n'

FULL = """
[storage]
root = "/srv/imaging"
prearchive = "/fast//prearchive/"
reserve = "2GiB"

[[drop]]
path = "/srv/drop/mri/"
name = "scanner"
watch = "poll"
rescan_interval = "10s"
settle = "500ms"
stuck_after = "1m"
import = "gradual"
dest = "prearchive"
after = "keep"
mount = true
project = "p1"
layout = "{project}/{subject}/{session}"
ignore = ["*.bak"]
inactivity = "10m"
receipts = true
contact = "imaging desk, 4711"

[[drop]]
path = "/srv/drop/ct"
import = "transactional"
dest = "archive"
strict = true
project = "Fresh"
receipts = false

[session]
inactivity = "2m"
max_open = "1h"

[projects.PROJ1]
aliases = ["P1"]
auto_archive = false
overwrite = true
allow = ["study-uid-mismatch", "modality-changed", "study-elsewhere"]
hold = ["incomplete", "maybe-incomplete", "label-shared"]
inactivity = "20m"

[identify]
project = ["(0008,1030):([^_]+)_.*"]
session = ["{PatientID}_{StudyDate}"]
subject = ["{EchoTrainLength}"]

[log]
file = "/var/log/watcher/watcher.jsonl"
level = "debug"
identifiers = "plain"
rotate = "1MiB"
keep = 0
heartbeat = "30s"

[limits]
entries = 5
bytes = "1KiB"
ratio = 6
depth = 7

[metrics]
listen = "127.0.0.1:9464"

[retention]
receipts = "forever"
history = "60d"
quarantine = "forever"
"""


def faults(text):
    with pytest.raises(ConfigurationError) as caught:
        settings.parse(text, "/etc/w.toml")
    return caught.value.faults


def test_the_defaults_are_those_of_the_contract():
    """A root and a drop are enough; everything else is as spec 3 says."""
    expected = settings.Settings(
        source="/etc/w.toml",
        stores=policy.Stores(
            root="/srv/imaging",
            prearchive="/srv/imaging/prearchive",
            archive="/srv/imaging/archive",
            quarantine="/srv/imaging/quarantine",
            history="/srv/imaging/history",
            state="/srv/imaging/state",
            status="/srv/imaging/status",
        ),
        reserve=2**30,
        drops=(policy.Drop("mri", "/srv/drop/mri"),),
        sessions=policy.SessionRules(300.0, 43200.0),
        projects=policy.Projects({}),
        identify=policy.Identify(),
        log=settings.LogSettings(None, "info", "coded", 100 * 2**20, 10, 60.0),
        limits=policy.Limits(100_000, 50 * 2**30, 200, 32),
        listen=None,
        retention=settings.Retention(2592000.0, None, None),
    )
    assert expected == settings.parse(SMALL, "/etc/w.toml")


@pytest.mark.parametrize(
    ("table", "made"),
    [
        (tables.Drop, policy.Drop),
        (tables.Project, policy.Project),
        (tables.Session, policy.SessionRules),
        (tables.Identify, policy.Identify),
        (tables.Limits, policy.Limits),
        (tables.Log, settings.LogSettings),
        (tables.Retention, settings.Retention),
    ],
)
def test_a_table_has_the_defaults_of_the_value_made_from_it(table, made):
    """What stands twice in the code is the same twice."""
    missing = dataclasses.MISSING
    defaults = {f.name: f.default for f in dataclasses.fields(made) if f.default is not missing}
    assert defaults == {name: getattr(table(), name) for name in defaults}


def test_every_key_of_the_contract_is_taken():
    """A file with every key gives every value, in seconds and bytes."""
    found = settings.parse(FULL, "/etc/w.toml")
    one, two = found.drops
    assert one == policy.Drop(
        name="scanner",
        path="/srv/drop/mri",
        watch="poll",
        rescan_interval=10.0,
        settle=0.5,
        stuck_after=60.0,
        after="keep",
        mount=True,
        project="PROJ1",
        layout=("{project}", "{subject}", "{session}"),
        ignore=("*.bak",),
        inactivity=600.0,
        contact="imaging desk, 4711",
    )
    assert two == policy.Drop(
        name="ct",
        path="/srv/drop/ct",
        mode="transactional",
        dest="archive",
        strict=True,
        project="Fresh",
        receipts=False,
    )
    assert found.projects.known == {
        "PROJ1": policy.Project(
            "PROJ1",
            ("P1",),
            auto_archive=False,
            overwrite=True,
            allow=frozenset({"study-uid-mismatch", "modality-changed", "study-elsewhere"}),
            hold=frozenset({"incomplete", "maybe-incomplete", "label-shared"}),
            inactivity=1200.0,
        ),
        "Fresh": policy.Project("Fresh"),
    }
    assert (found.stores.prearchive, found.reserve) == ("/fast/prearchive", 2**31)
    assert found.sessions == policy.SessionRules(120.0, 3600.0)
    expected = settings.LogSettings(
        "/var/log/watcher/watcher.jsonl", "debug", "plain", 2**20, 0, 30.0
    )
    assert expected == found.log
    assert found.limits == policy.Limits(5, 1024, 6, 7)
    assert found.listen == "127.0.0.1:9464"
    assert found.retention == settings.Retention(None, 5184000.0, None)


def test_rules_and_templates_are_told_apart_and_know_their_tags():
    """A rule begins with `(`; keywords beyond our own are looked up in DICOM PS3.6."""
    found = settings.parse(FULL, "/etc/w.toml").identify
    assert found.project == (policy.Rule(0x00081030, "([^_]+)_.*"),)
    template = policy.Template(
        "{PatientID}_{StudyDate}", {"PatientID": 0x00100020, "StudyDate": 0x00080020}
    )
    assert found.session == (template,)
    assert found.subject == (policy.Template("{EchoTrainLength}", {"EchoTrainLength": 0x00180091}),)


def test_a_root_is_not_needed_where_every_store_is_given():
    """What would lie in the root then lies in `state`."""
    lines = [f'{name} = "/s/{name}"\n' for name in settings.STORES]
    text = "[storage]\n{}[[drop]]\npath = '/in'\n"
    found = settings.parse(text.format("".join(lines)), "/etc/w.toml").stores
    assert (found.root, found.archive) == ("/s/state", "/s/archive")
    assert faults(text.format("".join(lines[:4]))) == (
        "storage.root: found nothing; give it, or else also state status",
    )


def test_an_empty_file_says_all_that_is_needed():
    """No drop and no store is not a configuration."""
    assert faults("") == (
        (
            "storage.root: found nothing; give it, or else also "
            "prearchive archive quarantine history state status"
        ),
        "drop: found none; at least one [[drop]] with a path is needed",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[drops]", "drops: found a table; unknown key; did you mean drop?"),
        ("[sesion]\nx=1", "sesion: found a table; unknown key; did you mean session?"),
        ("[log]\nlvel='info'", 'log.lvel: found "info"; unknown key; did you mean level?'),
        ("[log]\nlevel='inf'", 'log.level: found "inf"; unknown word; did you mean info?'),
        (
            "[log]\nlevel='qqq'",
            'log.level: found "qqq"; unknown word; known: debug info warning error',
        ),
        ("[log]\nfile='w.log'", 'log.file: found "w.log"; must be an absolute path'),
        (
            "[log]\nfile='/srv/drop/mri/w.log'",
            "log.file: /srv/drop/mri/w.log lies inside drop[0].path (/srv/drop/mri)",
        ),
        (
            "[log]\nheartbeat=60",
            'log.heartbeat: found 60; a duration needs its unit: "60s"',
        ),
        (
            "[session]\ninactivity='5 min'",
            (
                'session.inactivity: found "5 min"; a duration is a whole number and a unit: '
                '"500ms" "2s" "5m" "1h" "30d"'
            ),
        ),
        ("[session]\nmax_open='0s'", 'session.max_open: found "0s"; must be longer than nothing'),
        (
            "[session]\nmax_open='1m'",
            "session.inactivity: found 5 min; longer than session.max_open",
        ),
        (
            "[projects.P]\ninactivity='1d'",
            "projects.P.inactivity: found 1 d; longer than session.max_open",
        ),
        ("[limits]\nratio='2'", 'limits.ratio: found "2"; must be a whole number'),
        ("[limits]\ndepth=true", "limits.depth: found true; must be a whole number"),
        ("[limits]\nentries=0", "limits.entries: found 0; must be more than 0"),
        (
            "[limits]\nbytes='50GB'",
            (
                'limits.bytes: found "50GB"; a size is a whole number and a unit: '
                '"512B" "64KiB" "100MiB" "5GiB" "1TiB"'
            ),
        ),
        ("[projects.P]\noverwrite=1", "projects.P.overwrite: found 1; must be true or false"),
        ("[projects.P]\naliases='x'", 'projects.P.aliases: found "x"; must be a list'),
        ("[projects.P]\naliases=['']", 'projects.P.aliases[0]: found ""; must not be empty'),
        ("[projects]\nP=3", "projects.P: found 3; must be a table"),
        (
            "[projects.P]\nhold=['incomplet']",
            'projects.P.hold[0]: found "incomplet"; unknown word; did you mean incomplete?',
        ),
        (
            "[projects.P]\nallow=['incomplete']",
            (
                'projects.P.allow[0]: found "incomplete"; unknown word; known: '
                "study-uid-mismatch modality-changed study-elsewhere"
            ),
        ),
        (
            "[projects.'a b']",
            'projects."a b": a project\'s id is 1 to 64 of A-Z a-z 0-9 _ and -, the first not -',
        ),
        ("[projects.A]\n[projects.a]", 'projects.a: "a" already means A'),
        ("[identify]\nproject=[3]", "identify.project[0]: found 3; must be a rule or a template"),
        ("[identify]\nsubject=['{Foo}']", 'identify.subject[0]: found "{Foo}"; '),
        ("[identify]\nsession=['(0010:x']", 'identify.session[0]: found "(0010:x"; '),
        ("[metrics]\nlisten='9464'", 'metrics.listen: found "9464"; must be an address and a port'),
        (
            "[retention]\nhistory='never'",
            (
                'retention.history: found "never"; a duration is a whole number and a unit: '
                '"500ms" "2s" "5m" "1h" "30d"; or "forever"'
            ),
        ),
        (
            "[[drop]]\npath='/b'\nproject='20260619_091425'",
            (
                'drop[1].project: found "20260619_091425"; this id is taken: '
                "sessions without a project, and timestamps, are folders too"
            ),
        ),
        ("[[drop]]\nname='b'", "drop[1].path: found nothing; every drop needs one"),
        ("[[drop]]\npath='b'", 'drop[1].path: found "b"; must be an absolute path'),
        ("[[drop]]\npath='/x/mri'", 'drop[1].name: "mri" is the name of drop[0] already'),
        (
            "[[drop]]\npath='/b'\nname='a/b'",
            'drop[1].name: found "a/b"; must be fit for the name of a folder',
        ),
        (
            "[[drop]]\npath='/srv/drop/mri/../mri'\nname='b'",
            "drop[0].path: /srv/drop/mri is the same place as drop[1].path (/srv/drop/mri)",
        ),
        (
            "[[drop]]\npath='/srv/imaging/archive/in'",
            "drop[1].path: /srv/imaging/archive/in lies inside storage.root (/srv/imaging/archive)",
        ),
        ("[[drop]]\npath='/etc'", "this file: /etc/w.toml lies inside drop[1].path (/etc)"),
        (
            "[[drop]]\npath='/b'\nlayout='{project}'",
            (
                'drop[1].layout: found "{project}"; a layout needs {session}, '
                "and each placeholder at most once"
            ),
        ),
        (
            "[[drop]]\npath='/b'\nsettle='otto'",
            (
                'drop[1].settle: found "otto"; a duration is a whole number and a unit: '
                '"500ms" "2s" "5m" "1h" "30d"; or "auto"'
            ),
        ),
        (
            "[[drop]]\npath='/b'\nimport='transactionl'",
            'drop[1].import: found "transactionl"; unknown word; did you mean transactional?',
        ),
        (
            "[[drop]]\npath='/b'\ndest='archiv'",
            'drop[1].dest: found "archiv"; unknown word; did you mean archive?',
        ),
        (
            "[[drop]]\npath='/b'\nstrict=true",
            'drop[1].strict: found true; it is for a drop with import = "transactional"',
        ),
        (
            "[[drop]]\npath='/b'\nimport='transactional'\nlayout='{project}/{session}'",
            (
                'drop[1].layout: found "{project}/{session}"; '
                "refused in a transactional drop: it takes units"
            ),
        ),
        ("[limits]\ndepth=101", "limits.depth: found 101; must not be more than 100"),
        (
            "[[drop]]\npath='/b'\nmode='gradual'",
            'drop[1].mode: found "gradual"; unknown key; known: path name watch',
        ),
    ],
)
def test_a_fault_says_where_what_and_what_instead(text, line):
    """One line: the path in the file, what was found, the nearest valid."""
    (found,) = faults(SMALL + text)
    assert line == found[: len(line)]


@pytest.mark.parametrize("dest", ["prearchive", "archive"])
@pytest.mark.parametrize("mode", ["gradual", "transactional"])
def test_each_cell_of_the_table_is_taken(mode, dest):
    """Both ways of importing to both destinations (spec 7), whatever the project's own way.

    `dest = "archive"` beside `auto_archive = false` is no contradiction: the destination wins.
    """
    text = f'{SMALL}project = "P"\nimport = "{mode}"\ndest = "{dest}"\nafter = "keep"\n'
    found = settings.parse(f"{text}[projects.P]\nauto_archive = false", "/etc/w.toml")
    (drop,) = found.drops
    assert (mode, dest, "keep", False) == (drop.mode, drop.dest, drop.after, drop.strict)


def test_strict_is_for_units():
    """A transactional drop may refuse a unit for its strays; `false` is no contradiction."""
    found = settings.parse(SMALL + 'import = "transactional"\nstrict = true', "/etc/w.toml")
    assert found.drops[0].strict
    assert not settings.parse(SMALL + "strict = false", "/etc/w.toml").drops[0].strict


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[storage]\nroot="/r"\n[drop]\npath="/b"', "drop: found a table; each drop is headed"),
        ('drop=[3]\n[storage]\nroot="/r"', "drop[0]: found 3; must be a table"),
        ('storage="/r"\n[[drop]]\npath="/b"', 'storage: found "/r"; must be a table'),
        ('[storage]\nroot=3\n[[drop]]\npath="/b"', "storage.root: found 3; must be text"),
    ],
)
def test_a_fault_does_not_bring_others(text, line):
    """What is there but wrong is not said to be missing as well."""
    (found,) = faults(text)
    assert line == found[: len(line)]


def test_all_faults_come_at_once():
    """Wrong types do not hide contradictions, nor one fault in a list another."""
    text = """
        [storage]
        root = "/srv/imaging"
        archive = 3
        [[drop]]
        path = "/srv/imaging/state"
        ignore = [1, "ok", 2]
        setle = "5s"
        [[drop]]
        path = "/srv"
        name = "state"
        [projects.P]
        allow = ["x", "y"]
        [log]
        keep = -1
    """
    expected = [
        "storage.archive: found 3; must",
        "drop[0].ignore[0]: found 1; mu",
        "drop[0].ignore[2]: found 2; mu",
        'drop[0].setle: found "5s"; unk',
        'projects.P.allow[0]: found "x"',
        'projects.P.allow[1]: found "y"',
        "log.keep: found -1; must not b",
        'drop[1].name: "state" is the n',
        "storage.root: /srv/imaging lie",
        "storage.root: /srv/imaging/sta",
        "drop[0].path: /srv/imaging/sta",
    ]
    assert sorted(expected) == sorted(line[:30] for line in faults(text))


def test_symlinks_do_not_hide_that_a_drop_lies_in_a_store(tmp_path):
    """Paths are compared with their links followed, as far as they exist."""
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "root")
    text = f'[storage]\nroot="{tmp_path}/root"\n[[drop]]\npath="{tmp_path}/link/archive/in"\n'
    (line,) = faults(text)
    assert line.startswith(f"drop[0].path: {tmp_path}/link/archive/in lies inside storage.root")


def test_what_is_not_toml_is_said_with_its_line():
    """The parser's own words, with line and column."""
    assert "at line 2, column" in faults("[storage]\nroot = x")[0]


def test_load_reads_utf8_with_or_without_a_mark(tmp_path):
    """A byte order mark of a Windows editor is no fault; another encoding is."""
    path = tmp_path / "w.toml"
    path.write_text(SMALL + "# ä\n", encoding="utf-8-sig")
    assert settings.parse(SMALL, str(path)) == settings.load(str(path))
    path.write_text("# ä\n", encoding="latin-1")
    with pytest.raises(ConfigurationError, match="is not UTF-8") as caught:
        settings.load(str(path))
    assert "0xe4" in caught.value.faults[0]


def test_load_says_that_nothing_is_there(tmp_path):
    """A path that is gone is a fault of the configuration, with what to type."""
    with pytest.raises(ConfigurationError, match="no configuration at") as caught:
        settings.load(str(tmp_path / "w.toml"))
    assert caught.value.hint == "watcher init PATH"


def test_the_option_comes_first_then_the_variable_then_the_folder(tmp_path):
    """`--config`, else $WATCHER_CONFIG, else ./watcher.toml (spec 3)."""
    for name in ("option.toml", "variable.toml", "watcher.toml"):
        (tmp_path / name).write_text(SMALL)
    folder, environ = str(tmp_path), {"WATCHER_CONFIG": "variable.toml", "OTHER": "x"}
    assert settings.find("option.toml", environ, folder) == f"{folder}/option.toml"
    assert settings.find(None, environ, folder) == f"{folder}/variable.toml"
    assert settings.find(None, {"WATCHER_CONFIG": ""}, folder) == f"{folder}/watcher.toml"
    assert settings.find(f"{folder}/option.toml", {}, "/") == f"{folder}/option.toml"


def test_without_any_every_place_is_named(tmp_path, monkeypatch):
    """No file: where it was looked for, and what to type."""
    monkeypatch.setattr(settings, "PLACES", ("watcher.toml", f"{tmp_path}/etc/watcher.toml"))
    with pytest.raises(ConfigurationError) as caught:
        settings.find(None, {}, str(tmp_path))
    expected = (
        f"no configuration at {tmp_path}/watcher.toml or {tmp_path}/etc/watcher.toml",
        "watcher init PATH writes one; --config FILE names another",
    )
    assert expected == (str(caught.value), caught.value.hint)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/watcher.toml").write_text(SMALL)
    assert settings.find(None, {}, str(tmp_path)) == f"{tmp_path}/etc/watcher.toml"


def test_one_that_is_named_and_missing_is_not_replaced(tmp_path):
    """A wrong --config never falls back to another file."""
    (tmp_path / "watcher.toml").write_text(SMALL)
    for missing in ("gone.toml", "watcher.toml/below"):
        with pytest.raises(ConfigurationError, match=f"no configuration at {tmp_path}/{missing}$"):
            settings.find(missing, {}, str(tmp_path))


def test_a_directory_or_a_pipe_is_no_configuration(tmp_path):
    """Said at once: opening a FIFO would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigurationError, match=f"^{path} is not a file$"):
            settings.find(str(path), {}, "/")


def test_one_that_cannot_be_read_is_not_passed_over(tmp_path):
    """The first file found counts, even when the machine says no to reading it."""
    (tmp_path / "watcher.toml").symlink_to("watcher.toml")  # ELOOP, for root as well
    with pytest.raises(ConfigurationError, match="Too many levels of symbolic links"):
        settings.find(None, {}, str(tmp_path))


def test_a_folder_that_can_not_be_entered_is_passed_over(tmp_path, monkeypatch):
    """Who is started from a folder of another user takes the next place; a name he gave stays."""
    (tmp_path / "etc.toml").write_text(SMALL)
    monkeypatch.setattr(settings, "PLACES", ("watcher.toml", f"{tmp_path}/etc.toml"))
    (tmp_path / "loop").symlink_to("loop")  # ELOOP, for root as well
    (tmp_path / "closed").mkdir(mode=0)
    for folder in ("loop", "closed"):
        assert f"{tmp_path}/etc.toml" == settings.find(None, {}, str(tmp_path / folder))
    with pytest.raises(ConfigurationError, match="Too many levels of symbolic links"):
        settings.find("watcher.toml", {}, str(tmp_path / "loop"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_one_that_may_not_be_read_says_so(tmp_path):
    """A file of another user is told from one that is not there."""
    (tmp_path / "watcher.toml").write_text(SMALL)
    (tmp_path / "watcher.toml").chmod(0)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        settings.find(None, {}, str(tmp_path))


def test_the_import_leaves_the_data_dictionary_alone():
    """Only a keyword of its own loads pydicom: a command must answer at once (spec 4)."""
    code = "import sys, watcher.settings; print('pydicom' in sys.modules, 'anyio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
