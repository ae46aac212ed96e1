"""Going on where it stopped, and only there."""

from qold.domain.progress import Progress, lane_of


def test_what_begins_alike_goes_on():
    stored = Progress("row 5", [7, -1])
    assert Progress.resumed(stored, "row 5", 2) is stored


def test_other_rows_other_lanes_and_nothing_stored_begin_anew():
    anew = Progress("row 5", [-1, -1])
    for stored in (None, Progress("row 4", [7, 7]), Progress("row 5", [7, 7, 7])):
        assert Progress.resumed(stored, "row 5", 2) == anew


def test_a_device_has_one_lane_and_a_shard_uses_them_all():
    for shards in (0, 1, 4):
        mine = [i for i in range(1, 400) if not shards or i % shards == 3 % shards]
        assert {lane_of(device_id, shards, 4) for device_id in mine} == {0, 1, 2, 3}
