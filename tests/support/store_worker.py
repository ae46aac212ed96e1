"""A process that takes ids from a registry, forks, and takes more on both sides.

It prints the ids as JSON. With `wait` it stops before its end until its stdin is closed.
"""

import json
import os
import sys

from qold import wiring
from qold.clock import SystemClock
from qold.settings import Settings

if __name__ == "__main__":
    state_dir, url, *words = sys.argv[1:]
    registry = wiring.registry(Settings.load(state_dir, {"QOLD_REGISTRY_URL": url}), SystemClock())
    taken = list(registry.allocate("device", 3))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(list(registry.allocate("device", 3))).encode())
        os._exit(0)
    os.waitpid(child, 0)
    taken += [*registry.allocate("device", 3), *json.loads(os.read(reading, 1000))]
    sys.stdout.write(json.dumps(taken) + "\n")
    sys.stdout.flush()
    if "wait" in words:
        sys.stdin.read()
