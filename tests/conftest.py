"""What every test may ask for."""

import os

import pytest
from faults import table
from hypothesis import HealthCheck, settings

import watcher.dicom
import watcher.io.worker

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


def pytest_terminal_summary(terminalreporter):
    """Here, as the process that leads others collects no tests, and so no further conftest."""
    table.told(terminalreporter)
