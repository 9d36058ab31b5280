"""What every test may ask for."""

import os

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture(scope="session")
def xnat_schema():
    """The folder of XNAT's XSDs; they are not ours to ship."""
    folder = os.environ.get("WATCHER_XNAT_SCHEMA", "")
    if not os.path.isfile(os.path.join(folder, "xnat.xsd")):
        pytest.skip("WATCHER_XNAT_SCHEMA names no folder with xnat.xsd")
    return folder
