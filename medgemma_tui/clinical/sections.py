"""Sections."""

from __future__ import annotations

from typing import Literal

from medgemma_tui.clinical.findings import Analysis, Language, SectionCheck

SectionMode = Literal["auto", "always", "off"]


def headings(lang: Language) -> tuple[str, ...]:
    return ()


def wanted(mode: SectionMode, analysis: Analysis) -> bool:
    return False


def check(answer: str) -> SectionCheck:
    return SectionCheck()
