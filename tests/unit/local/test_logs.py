"""Which files belong to a service, their last lines, and what is added to them."""

import pytest

from local.logs import CHUNK, follow, last_lines, log_files


def write(path, content="a\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return path


def test_a_service_has_its_files_and_a_topology_those_of_its_last_submission(tmp_path):
    logs = tmp_path / "logs"
    kafka = write(logs / "kafka.log")
    plain, storm = write(logs / "nimbus.log"), write(logs / "storm" / "nimbus.log")
    workers = logs / "storm" / "workers-artifacts"
    write(workers / "raw-1-100" / "6700" / "worker.log")
    last = [write(workers / "raw-9-2000" / port / "worker.log") for port in ("6701", "6702")]
    write(workers / "raw-2-300" / "6703" / "worker.log")
    (workers / "alert-3-1" / "6704").mkdir(parents=True)  # has written nothing
    assert log_files(tmp_path) == {"kafka": [kafka], "nimbus": [plain, storm], "raw": last}
    assert log_files(tmp_path / "never") == {}


@pytest.mark.parametrize("count", [0, 1, 3, 10_000])
@pytest.mark.parametrize("width", [0, 10, CHUNK // 2, 2 * CHUNK])
def test_last_lines(tmp_path, count, width):
    lines = [f"{number} {'.' * width}" for number in range(5)]
    path = write(tmp_path / "a.log", "\n".join(lines) + "\n")
    assert last_lines(path, count) == (lines[-count:] if count else [])


def test_last_lines_of_what_is_empty_unfinished_or_not_text(tmp_path):
    """Bad input: an empty file, a last line without its end, bytes that are no UTF-8."""
    assert last_lines(write(tmp_path / "empty.log", ""), 5) == []
    assert last_lines(write(tmp_path / "open.log", "a\nb"), 1) == ["b"]
    path = tmp_path / "bytes.log"
    path.write_bytes(b"\xff\xfe\n")
    assert last_lines(path, 5) == ["\ufffd\ufffd"]


def test_what_is_added_is_followed_also_after_the_file_was_emptied(tmp_path):
    path = write(tmp_path / "a.log", "old\n")
    adding = iter(["one\ntw", "o\n", None, "three\n"])
    found = []

    def add():
        text = next(adding, "")
        if text is None:
            path.write_text("", "utf-8")
        else:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        return text == ""

    found += [line for _, line in follow([path], add)]
    assert found == ["one", "two", "three"]
