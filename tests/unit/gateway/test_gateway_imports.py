"""Of ours a gateway carries `qold.wire` and what handles text and private files; imports connect nothing."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
OURS = {"qold", "bolts", "spouts", "topologies", "local", "cli", "admin_api", "gateway", "tests"}
LIBRARIES = {"serial", "peewee", "crcmod", "cobs", "confluent_kafka"}
PROGRAM = """
import json, sys
before = set(sys.modules)
import gateway.__main__, gateway.input, gateway.output, gateway.output.uplink.sqlite
import gateway.output.uplink.kafka
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_modules() -> set[str]:
    """What a clean interpreter holds after importing the whole gateway, from a checkout."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout))


def test_of_ours_only_the_wire_text_and_private_files() -> None:
    ours = {name for name in loaded_modules() if name.split(".")[0] in OURS - {"gateway"}}
    assert ours == {
        "qold",
        "qold.plain_logs",
        "qold.plain_text",
        "qold.private_files",
        "qold.settings_file",
        "qold.wire",
        "qold.wire.crc",
        "qold.wire.frame",
        "qold.wire.reader",
    }


def test_of_others_only_what_a_gateway_installs() -> None:
    top = {name.split(".")[0] for name in loaded_modules()}
    # The last two are compiled halves of crcmod and peewee, where a compiler was at hand.
    assert top - sys.stdlib_module_names <= LIBRARIES | {
        "gateway",
        "qold",
        "_crcfunext",
        "playhouse",
    }
