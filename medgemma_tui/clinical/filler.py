"""Filler."""

from __future__ import annotations

from dataclasses import dataclass

from medgemma_tui.clinical.findings import Span


@dataclass(frozen=True, slots=True)
class Filler:
    """A piece of text that tells nothing about the patient's illness."""

    text: str
    span: Span


def find_filler(text: str) -> tuple[Filler, ...]:
    return ()


def trim(text: str, fillers: tuple[Filler, ...]) -> str:
    return text
