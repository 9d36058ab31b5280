"""What every test may ask for."""

import os

import pytest
from faults import table
from hypothesis import HealthCheck, settings
from lines import SAID

import watcher.dicom
import watcher.io.worker
from watcher.core.events import EVENTS

# How long an example takes tells of the machine, which others use too.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
# A killed reader that a busy machine has not buried yet is a ResourceWarning of any later test.
watcher.io.worker.ENDING = 100.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture(scope="session")
def xnat_schema():
    """The folder of XNAT's XSDs, as shipped."""
    return os.path.join(os.path.dirname(watcher.dicom.__file__), "schemas")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """What was said in a process that ran some of the tests."""
    SAID.update(getattr(node, "workeroutput", {}).get("said", ()))


def pytest_sessionfinish(session):
    """Every event of the catalogue is provoked by some test: else the whole suite fails."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["said"] = sorted(SAID)
    elif is_whole(session) and EVENTS.keys() - SAID:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def is_whole(session):
    """Whether all tests ran that run by default, and none failed."""
    asked = session.config.option
    given = session.config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    some = given or asked.keyword or asked.deselect or asked.collectonly or getattr(asked, "lf", 0)
    default = any(asked.markexpr == each for each in session.config.getini("addopts"))
    return default and not some and session.exitstatus == pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter):
    """Here, as the process that leads others collects no tests, and so no further conftest."""
    table.told(terminalreporter)
    session = terminalreporter._session
    if session.exitstatus == pytest.ExitCode.TESTS_FAILED and not session.testsfailed:
        terminalreporter.section("events of the catalogue that no test provokes", red=True)
        terminalreporter.line(", ".join(sorted(EVENTS.keys() - SAID)))
