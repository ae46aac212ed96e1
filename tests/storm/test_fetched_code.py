"""Code from outside that Storm loads: what Qold did not put there is refused."""

import pytest

from local.services import storm
from local.services.exact_folder import ArtifactsError
from local.services.place import Place
from tests.support.servers import needs_storm

pytestmark = needs_storm


def test_a_file_that_was_put_into_storms_home_is_refused(tmp_path):
    """Storm loads classes from the first three, and its Supervisor runs what is in the last."""
    place = Place(tmp_path)
    home = storm.assemble(place, lambda text: None)
    for folder in ("extlib", "extlib-daemon", "conf", "healthchecks"):
        extra = home / folder / "evil.jar"
        extra.touch()
        refused = rf"{extra}: not expected\nfix: rm -r {extra}"
        with pytest.raises(ArtifactsError, match=refused):
            storm.assemble(place, lambda text: None)
        extra.unlink()
    storm.assemble(place, lambda text: None)
    (storm.conf_folder(place, 2) / "evil.class").parent.mkdir()
    (storm.conf_folder(place, 2) / "evil.class").touch()
    with pytest.raises(ArtifactsError, match=r"evil\.class: not expected"):
        storm.configure_node(place, 2)
