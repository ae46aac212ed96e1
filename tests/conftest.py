"""What holds for every test: no socket where none is needed, one profile for properties."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket

settings.register_profile("qold", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("qold")

ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = f"{ROOT}/src:{ROOT}"  # as ./qold sets it, for processes that tests start

SOCKETLESS = {"unit", "topology"}


@pytest.fixture(autouse=True)
def _no_sockets(request):
    """Unit and topology tests open no network socket."""
    group = Path(request.path).relative_to(Path(__file__).parent).parts[0]
    if group in SOCKETLESS:
        disable_socket(allow_unix_socket=True)
        yield
        enable_socket()
    else:
        yield
