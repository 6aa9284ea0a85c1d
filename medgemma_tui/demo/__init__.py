"""The embedded demo model: its corpus, the script that trains it, and the shipped weights. DEMO, NOT MEDICAL."""

from __future__ import annotations

from pathlib import Path


def model_dir() -> Path:
    """Absolute path of the shipped demo model (config, tokenizer, safetensors weights)."""
    return Path(__file__).resolve().parent / "model"
