"""What contract suites share."""

import pytest

from local.services.server import StandIn


@pytest.fixture
def stand_in():
    """The services people do not have at hand, on a free port."""
    with StandIn() as stand_in:
        yield stand_in
