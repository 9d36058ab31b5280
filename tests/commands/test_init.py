"""`watcher init`."""

import os
import re

import pytest
from imaging import told
from makers import make_dicom
from mending import carry_out, faulty

from watcher.settings import load, parse, tables


def init(capsys, config, *words):
    return told(capsys, config, "init", *words)


def test_what_it_writes_loads(tmp_path, capsys):
    """The configuration is valid, and holds the drops and the root that were given."""
    config = tmp_path / "watcher.toml"
    code, said = init(capsys, config, f"{tmp_path}/mri", f"{tmp_path}/ct", "--root", "/img")
    assert code == 0
    assert f"watcher check --config {config}" in said
    settings = load(str(config))
    assert [(drop.name, drop.path) for drop in settings.drops] == [
        ("mri", f"{tmp_path}/mri"),
        ("ct", f"{tmp_path}/ct"),
    ]
    assert settings.stores.archive == "/img/archive"


def test_it_goes_to_the_current_folder(tmp_path, capsys, monkeypatch):
    """Without --config: ./watcher.toml; a relative drop is one of this folder."""
    from watcher import cli

    monkeypatch.chdir(tmp_path)
    assert cli.call(["init", "mri"]) == 0
    assert load("watcher.toml").drops[0].path == str(tmp_path / "mri")
    assert load("watcher.toml").stores.root == "/srv/imaging"


def test_nothing_is_overwritten(tmp_path, capsys):
    """A file that is there stays as it is: exit 4."""
    config = tmp_path / "watcher.toml"
    config.write_text("mine")
    code, said = init(capsys, config, "/srv/drop/mri")
    assert (code, config.read_text()) == (4, "mine")
    assert "is there already" in said
    os.remove(config)
    config.symlink_to("nowhere")
    assert init(capsys, config, "/srv/drop/mri")[0] == 4


def test_every_key_is_in_it(tmp_path, capsys):
    """Each key of every table stands there, and taking the `# ` away gives a valid file still."""
    config = tmp_path / "watcher.toml"
    init(capsys, config, "/srv/drop/mri")
    text = config.read_text()
    for table in (*vars(tables).values(),):
        if isinstance(table, type) and issubclass(table, tables.Table) and table is not tables.File:
            for name, field in table.model_fields.items():
                assert re.search(rf"^(# )?{field.alias or name} = ", text, re.MULTILINE), name
    bare = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE)
    bare = re.sub(r"^layout = .*\n", "", bare, flags=re.MULTILINE)  # beside project: of one's own
    assert "PROJ1" in parse(bare, "x").projects.known


def test_what_is_commented_out_is_the_default(tmp_path, capsys):
    """Taking `# ` away from a line with a default changes nothing."""
    config = tmp_path / "watcher.toml"
    init(capsys, config, "/srv/drop/mri")
    text = config.read_text()
    before = parse(text, "x")
    own = {"project", "layout", "file", "listen", "contact", "receipts", "history", "quarantine"}
    own |= {"aliases", "allow", "hold", "overwrite", "auto_archive"}  # of a project of their own
    for found in re.finditer(r"^# (\w+) = .*$", text, re.MULTILINE):
        if found[1] in own:
            continue
        after = parse(text[: found.start()] + text[found.start() + 2 :], "x")
        if found[1] == "inactivity":  # a drop's own is none; the value is that of the session
            assert after.sessions == before.sessions
        else:
            assert after == before, found[0]


def test_drops_of_one_name_get_names_of_their_own(tmp_path, capsys):
    """Names are unique: the second is numbered."""
    config = tmp_path / "watcher.toml"
    assert init(capsys, config, "/a/mri", "/b/mri", "/c/mri")[0] == 0
    assert [drop.name for drop in load(str(config)).drops] == ["mri", "mri-2", "mri-3"]


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "Röntgen", "tab\there", "del\x7f"])
def test_odd_names_are_quoted(tmp_path, capsys, name):
    """A path of any characters is written so that it reads back as it is."""
    config = tmp_path / "watcher.toml"
    assert init(capsys, config, f"/drop/{name}")[0] == 0
    assert load(str(config)).drops[0].path == f"/drop/{name}"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("/srv/imaging/archive/x",),
        ("/srv/drop", "/srv/drop/mri"),
        ("/drop/\udcff",),
    ],
)
def test_what_would_not_load_is_not_written(tmp_path, capsys, words):
    """No drop, one inside a store or another drop, a path that is not UTF-8: exit 2, no file."""
    config = tmp_path / "watcher.toml"
    assert init(capsys, config, *words)[0] == 2
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_said(tmp_path, capsys):
    """The configuration's own folder is not made."""
    assert init(capsys, tmp_path / "etc" / "watcher.toml", "/srv/drop/mri")[0] == 2


def test_from_init_to_the_archive(tmp_path, capsys):
    """As it is written it passes a check, once the commands of that are typed, and archives."""
    config, drop = tmp_path / "etc" / "watcher.toml", tmp_path / "drops" / "mri"
    config.parent.mkdir()
    words = (str(drop), "--root", f"{tmp_path}/imaging", "--project", "P1")
    assert init(capsys, config, *words)[0] == 0
    code, (line,) = faulty(config)
    assert (10, "drop mri") == (code, line.of)
    carry_out(line.command, tmp_path)
    assert (0, []) == faulty(config)
    make_dicom(drop / "IM1", patient_id="S001")
    assert told(capsys, config, "run", "--once")[0] == 0
    code, said = told(capsys, config, "sessions", "--status", "ARCHIVED")
    assert (0, True) == (code, "P1" in said and "S001" in said)
    assert [] == [path for path in drop.rglob("*") if path.name == "IM1"]


def test_an_odd_project_is_not_written(tmp_path, capsys):
    """A project that would not load is refused with its fault: exit 2, no file."""
    config = tmp_path / "watcher.toml"
    code, said = init(capsys, config, "/srv/drop/mri", "--project", 'a "b"')
    assert (2, True) == (code, "a project's id is" in said)
    assert not config.exists()
