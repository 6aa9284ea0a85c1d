"""Which instructions the model is given: the settings' file, the site's for the language, or the built-in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgemma_tui import instructions
from medgemma_tui.settings import Settings, SettingsError


def test_a_sites_file_counts_for_its_language_alone(tmp_path: Path) -> None:
    (tmp_path / "instructions.zh.txt").write_text("\ufeff只用规范术语。\n", encoding="utf-8")
    site = Settings(clinical_dir=tmp_path)
    assert instructions.load(site, "zh") == "只用规范术语。"
    assert instructions.source(site, "zh") == tmp_path / "instructions.zh.txt"
    assert instructions.load(site, "en") == instructions.load(Settings(), "en")
    assert instructions.load(Settings(), "zh") not in ("", "只用规范术语。")


def test_the_settings_file_counts_for_both(tmp_path: Path) -> None:
    (tmp_path / "instructions.zh.txt").write_text("只用规范术语。", encoding="utf-8")
    own = tmp_path / "own.txt"
    own.write_text("House rules.")
    chosen = Settings(clinical_dir=tmp_path, instructions=own)
    assert instructions.load(chosen, "zh") == instructions.load(chosen, "en") == "House rules."


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "instructions.en.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"instructions\.en\.txt"):
        instructions.load(Settings(clinical_dir=tmp_path), "en")
    with pytest.raises(SettingsError, match="nowhere"):
        instructions.load(Settings(instructions=tmp_path / "nowhere"), "en")
    assert instructions.load(Settings(clinical_dir=tmp_path / "not there"), "en")
