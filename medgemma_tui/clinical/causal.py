"""The causal chain of an answer: how the model is asked for it, when its reply holds, and a chain without the model."""

from __future__ import annotations

from typing import Final

from medgemma_tui.clinical.findings import Language

MAX_STEPS: Final = 8
MAX_LABEL: Final = 32
"""Characters of one step."""

SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "properties": {
        "chain": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_LABEL},
            "minItems": 2,
            "maxItems": MAX_STEPS,
        }
    },
    "required": ["chain"],
    "additionalProperties": False,
}
"""What the reply must be. The demo model is trained on this very form: ``{"chain":["斑块破裂","血栓形成"]}``."""

_REQUESTS: Final[dict[Language, str]] = {
    "zh": '请把上面回答中的因果链写成JSON：{"chain":["起因","结果"]}，按先后2至8步，每步用回答里的原词，不加解释。',
    "en": (
        'Write the causal chain in your answer above as JSON: {"chain":["cause","effect"]}, '
        "2 to 8 steps in order, each step in the words of the answer, with no explanation."
    ),
}


def request_text(lang: Language) -> str:
    """The turn that asks the model for the chain of its last answer. The demo model knows these very texts."""
    return _REQUESTS[lang]


def parse(reply: str, answer: str) -> tuple[str, ...] | None:
    return None


def chain_from_answer(answer: str) -> tuple[str, ...]:
    return ()
