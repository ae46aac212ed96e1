"""The traps of multilang that the base bolt closes, each in a process over pipes.

The fifth, a tuple that is given up after three failures, is in `test_raw.py`: its store is away
for longer.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qold.plain_text import is_plain
from qold.settings import Settings
from tests.support.storm_pipes import SRC, StormChild

BOLTS = """
import ctypes, datetime, os, pathlib, sys, time

print("printed before the base is imported")
from qold import component
from qold.component import QoldBolt

print("printed at import")
component.HEARTBEAT_S = 0.02


class Chatty(QoldBolt):
    outputs = ["value"]

    def setup(self, storm_conf, context):
        print("printed in setup")

    def handle(self, tup):
        print("printed in handle", flush=True)
        os.write(1, b"written to descriptor 1\\n")
        libc = ctypes.CDLL(None)
        libc.puts(b"printed by C")
        libc.fflush(None)
        sys.__stdout__.write("written to the first stdout\\n")
        sys.__stdout__.flush()
        self.emit([tup.values.value])


class Unserialisable(QoldBolt):
    outputs = ["value"]

    def handle(self, tup):
        self.emit([eval(tup.values.value)])


class Slow(QoldBolt):
    def handle(self, tup):
        while not pathlib.Path(tup.values.value).exists():
            time.sleep(0.01)


class Talkative(QoldBolt):
    def handle(self, tup):
        self.logger.warning("name=%s", tup.values.value)
        raise ValueError(tup.values.value)
"""
BAD_VALUES = {
    "nan": "float('nan')",
    "infinity": "float('inf')",
    "bytes": "b'4.21'",
    "a datetime": "datetime.datetime(2026, 11, 25)",
    "a set": "{1}",
    "an object": "object()",
    "nested": "[4.21]",
    "a dict": "{'temp': 4.21}",
    "a long float": "-1 / 3",
    "more than 64 bits": "2**63",
    "half a character": "chr(0xD800)",
}
CONTEXT = {
    "taskid": 2,
    "componentid": "tested",
    "task->component": {"1": "source", "2": "tested"},
    "source->stream->fields": {"source": {"default": ["value"]}},
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], StormChild]]:
    """Starts a bolt of the module above, hands shaken."""
    (tmp_path / "trap_bolts.py").write_text(BOLTS, "utf-8")
    settings = Settings.load(tmp_path / "state", {})
    children: list[StormChild] = []

    def _start(name: str) -> StormChild:
        child = StormChild(f"trap_bolts.{name}", tmp_path, tmp_path, SRC)
        children.append(child)
        child.shake_hands({**settings.to_storm_conf(), "topology.name": "tested"}, CONTEXT)
        return child

    yield _start
    for child in children:
        child.kill()


def tuple_of(value: Any) -> dict[str, Any]:
    return {"id": "t", "comp": "source", "stream": "default", "task": 1, "tuple": [value]}


def test_whatever_prints_does_not_reach_storm(start):
    child = start("Chatty")
    child.send(tuple_of(4.21))
    (emitted,) = child.until(command="ack", id="t")
    assert (emitted["command"], emitted["tuple"]) == ("emit", [4.21])
    child.close()
    errors = child.errors.read_text("utf-8")
    for said in (
        "printed before the base is imported",
        "printed at import",
        "printed in setup",
        "printed in handle",
        "written to descriptor 1",
        "printed by C",
        "written to the first stdout",
    ):
        assert said in errors


@pytest.mark.parametrize("expression", BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_what_storm_cannot_carry_ends_the_bolt_and_is_not_acknowledged(start, expression):
    child = start("Unserialisable")
    child.send(tuple_of(expression))
    sent, exit_code = child.rest()
    assert exit_code != 0
    commands = [message["command"] for message in sent]
    assert not {"emit", "ack"} & set(commands)
    assert {"command": "fail", "id": "t"} in sent
    assert any(message["command"] == "error" for message in sent), "Storm's log says why"
    json.dumps(sent, allow_nan=False)


def test_what_a_bolt_logs_holds_no_control_characters(start):
    """A value of several lines is one line of Storm's log, as is the error that ends the bolt."""
    child = start("Talkative")
    child.send(tuple_of("x\nERROR \x1b]0;owned\x07\u202e"))
    sent, _ = child.rest()
    shown = r"x\nERROR \x1b]0;owned\x07\u202e"
    logged = [message["msg"] for message in sent if message["command"] in ("log", "error")]
    assert any(text.endswith(f"name={shown}") for text in logged)
    assert all(is_plain(text.replace("\n", "").replace("\t", "")) for text in logged)


def test_a_bolt_in_a_slow_call_keeps_its_heartbeat(start, tmp_path):
    child = start("Slow")
    child.send(tuple_of(str(tmp_path / "go on")))
    for _ in range(3):
        assert child.until(command="sync") == []
    (tmp_path / "go on").touch()
    assert child.until(command="ack", id="t") == []
