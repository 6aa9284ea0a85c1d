"""Stands in for ``medgemma-tui health --events``: does what the file ``orders`` beside it says, line by line.

``event``: a result. ``hold``: events now and then until the file ``go`` is there. ``say FILE``: the file's bytes to
stdout. ``rest``: nothing for a minute. ``spill TEXT``: to stderr. ``exit N``.
"""

import json
import os
import sys
import time
from pathlib import Path

here = Path(__file__).parent
(here / "seen.json").write_text(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ), "pid": os.getpid()}))
RESULT = {"id": "host.disk", "status": "ok", "code": "fine", "seconds": 0.1}


def tell(**fields):
    print(json.dumps({"done": 1, "total": 2, **fields}), flush=True)


for order in (here / "orders").read_text().splitlines():
    word, _, rest = order.partition(" ")
    if word == "event":
        tell(result=RESULT)
    elif word == "hold":
        while not (here / "go").exists():
            tell(doing="model.hashes", percent=1.0)
            time.sleep(0.05)
    elif word == "rest":
        time.sleep(60)
    elif word == "say":
        sys.stdout.flush()
        os.write(1, Path(rest).read_bytes())
    elif word == "spill":
        print(rest, file=sys.stderr, flush=True)
    elif word == "exit":
        sys.exit(int(rest))
