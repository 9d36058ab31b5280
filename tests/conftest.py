"""What every test may ask for."""

import os

import pytest

import watcher.dicom


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture(scope="session")
def xnat_schema():
    """The folder of XNAT's XSDs, as shipped."""
    return os.path.join(os.path.dirname(watcher.dicom.__file__), "schemas")
