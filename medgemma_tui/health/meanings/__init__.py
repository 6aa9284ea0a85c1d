"""What each check's outcomes mean: how bad they are, the sentence, and what to do next. Words only; no measuring.

One file a group. A sentence's ``{names}`` are the outcome's params. Readers word a report by these, so a report made in
one language is read in another.
"""

from __future__ import annotations

from medgemma_tui.health.meanings import audit, golden, gpu, history, host, model, privacy, service
from medgemma_tui.health.meanings.meaning import COMMON, Meaning, Words

_GROUPS = (gpu, host, model, golden, service, privacy, audit, history)
GROUP_TITLES: dict[str, str] = {}
"""Groups by their id, as message ids, in the order of a report."""
TITLES: dict[str, str] = {}
"""Checks by their id, as message ids."""
MEANINGS: dict[str, dict[str, Meaning]] = {}
"""Outcomes by check and code."""
ITEMS: dict[str, Words] = {}
"""Lines under a result, by their code."""
for _group in _GROUPS:
    GROUP_TITLES[_group.GROUP] = _group.TITLE
    TITLES.update(_group.TITLES)
    MEANINGS.update(_group.MEANINGS)
    ITEMS.update(_group.ITEMS)


def of(check_id: str, code: str) -> Meaning | None:
    """What an outcome means; None where nobody knows it."""
    return MEANINGS.get(check_id, {}).get(code) or COMMON.get(code)
