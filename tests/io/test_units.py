"""The units that are installed, as their files say."""

import shutil
from pathlib import Path

import pytest

from watcher.io import units

DEPLOY = Path(__file__).parents[2] / "deploy" / "systemd"
MRI, PLAIN = "/etc/watcher/mri.toml", "/etc/watcher/watcher.toml"


@pytest.fixture
def etc(tmp_path, monkeypatch):
    """The machine's units: the template that is delivered; nothing runs."""
    folder = tmp_path / "etc"
    folder.mkdir()
    shutil.copy(DEPLOY / "watcher@.service", folder)
    monkeypatch.setattr(units, "FOLDERS", (str(folder),))
    monkeypatch.setattr(units, "RUNNING", str(tmp_path / "run"))
    return folder


def names(config):
    return [unit.name for unit in units.units_of(config)]


@pytest.mark.parametrize(
    "sign",
    [
        "etc/multi-user.target.wants/watcher@mri.service",
        "etc/watcher@mri.service.d/paths.conf",
        "run/invocation:watcher@mri.service",
    ],
)
def test_an_instance_counts_when_it_is_meant_to_run(etc, sign):
    """Enabled, given a drop-in, or running; a template alone is no unit of any configuration."""
    assert [] == names(MRI)
    link = etc.parent / sign
    link.parent.mkdir()
    link.symlink_to("/nowhere")
    assert ["watcher@mri.service"] == names(MRI)
    assert [] == names(PLAIN)


def test_a_plain_unit_is_found_beside_the_template(etc):
    """`watcher.toml` is that of `watcher.service`, and of no instance nobody has enabled."""
    shutil.copy(DEPLOY / "watcher.service", etc)
    assert ["watcher.service"] == names(PLAIN)


def test_folders_of_an_instance_are_its_own(etc):
    """`StateDirectory=watcher-%i` is what systemd makes for that instance."""
    (etc / "watcher@mri.service.d").mkdir()
    (unit,) = units.units_of(MRI)
    assert {"/var/lib/watcher-mri", "/var/log/watcher-mri"} == set(unit.made())


def test_specifiers_are_resolved_where_they_are_known():
    """systemd.unit(5): of the name, of folders, of a percent sign; of others nothing is known."""
    said = '%S/%p-%i "%L/a b" -%t/%n 100%% %%i %h/x'
    unit = units.Unit("watcher@ct.service", {"ReadWritePaths": (said,), "User": ("of-%i",)})
    expected = (
        *("/var/lib/watcher-ct", "/var/log/a b", "/run/watcher@ct.service"),
        *("100%", "%i", "%h/x"),
    )
    assert expected == unit.paths("ReadWritePaths")
    assert "of-ct" == unit.last("User")


def test_a_percent_sign_in_a_configuration_s_path_is_no_instance(etc):
    """`%%i` is the two characters."""
    text = "[Service]\nExecStart=/bin/watcher run --config /etc/100%%i.toml\n"
    (etc / "watcher.service").write_text(text)
    assert ["watcher.service"] == names("/etc/100%i.toml")
    assert [] == names("/etc/100ct.toml")
