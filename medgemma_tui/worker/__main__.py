"""``python -m medgemma_tui.worker``: serve one model on a Unix socket. Started by the gateway; see ``process.py``."""

from __future__ import annotations

import os

PARENT = os.getppid()
# Read when the libraries are imported, so they are set before anything is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from medgemma_tui.worker.process import main  # noqa: E402

if __name__ == "__main__":
    main(PARENT)
