"""``make bench``: every figure the README quotes, measured in one run and told as ratios. Never fails on a time.

``python -m tests.benchmarks [engine] [screen] [startup] [clinical]`` runs only those parts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.benchmarks import clinical, engine, screen, startup
from tests.benchmarks.figures import Figure

PARTS = {"engine": engine.run, "startup": startup.run, "screen": screen.run, "clinical": clinical.run}


def main() -> None:
    """Run the parts named on the command line, print their figures, keep them in bench-results.json."""
    chosen = sys.argv[1:] or list(PARTS)
    figures: list[Figure] = []
    for name in chosen:
        print(f"— {name} …", file=sys.stderr, flush=True)
        figures += PARTS[name]()
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        print(f"{figure.what:<{width}}  {figure.shown:>16}  {figure.against}")
    Path("bench-results.json").write_text(json.dumps([figure.__dict__ for figure in figures], indent=1))


if __name__ == "__main__":
    main()
