"""The software of the small computer in the shop: `input` and `output`, coupled only by the outbox.

It carries `qold.wire` and nothing else of ours.
"""

import sys
from pathlib import Path

_SOURCES = str(Path(__file__).resolve().parent.parent / "src")
if _SOURCES not in sys.path:
    # `python -m gateway` works in a checkout, where nothing is installed.
    sys.path.append(_SOURCES)
