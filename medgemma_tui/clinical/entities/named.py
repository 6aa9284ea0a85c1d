"""Places in the body, and findings: symptoms, signs, and what an ECG or an image shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medgemma_tui.clinical.entities.scan import Scan
from medgemma_tui.clinical.findings import Entity

_LEAD = r"(?:v[1-9]r?|av[rlf]|[ⅰⅱⅲ]|iii|ii|i)"
_LEADS_BEFORE = re.compile(
    rf"(?<![a-z0-9])(?P<leads>{_LEAD}(?:\s?[-~,、/至和及]\s?{_LEAD}){{0,6}})\s?(?:导联|leads?)?(?:呈|可见|见|的|出现)?\s?$"
)
_LEADS_AFTER = re.compile(
    rf"\s?(?:in|in leads?|over|\()\s?(?P<leads>{_LEAD}(?:\s?(?:[-~,/]|to|and)\s?{_LEAD}){{0,6}})(?![a-z0-9])"
)


def find_named(scan: Scan) -> Iterator[Entity]:
    """Anatomy and findings of the lists. The leads beside a finding of the ECG are its value (``V1-V4``)."""
    folded = scan.folded
    for hit in scan.hits:
        item = hit.meaning.named
        if item is not None and (item.kind == "anatomy" or item.kind == "finding"):
            start, end, value = hit.start, hit.end, None
            if item.kind == "finding" and scan.reader.of_relative(start, end):
                continue
            if item.kind == "finding" and item.id.startswith(("ST ", "T wave", "T-wave", "pathological Q")):
                before = _LEADS_BEFORE.search(folded, max(0, start - 40), start)
                after = _LEADS_AFTER.match(folded, end) if before is None else None
                if before:
                    start, value = before.start(), _leads(before["leads"])
                elif after:
                    end, value = after.end(), _leads(after["leads"])
            negated = item.kind == "finding" and scan.negated(hit.start, hit.end)
            yield Entity(item.kind, scan.text[start:end], (start, end), item.id, value, negated=negated)


def _leads(folded: str) -> str:
    return re.sub(r"\s", "", folded.upper().replace("AV", "aV").replace("至", "-").replace("~", "-"))
