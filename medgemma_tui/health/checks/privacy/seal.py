"""``privacy.seal``: nothing that was asked can leave this box or its memory, by what each process of the service tried.

Before a service runs, what this very process could close is looked at: the service's processes close the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from medgemma_tui import privacy_words
from medgemma_tui.client import ServiceError
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.privacy import kernel, seal
from medgemma_tui.protocol import Figure, Item, PrivacyReport, ProcessPrivacy, Verdict

_FORETOLD: Final = ("seccomp", "no_new_privs", "dumpable", "core_limit", "core_pattern", "swap")
"""What holds for the service's processes where it holds for this one. Its environment is its own."""
_TOLD: Final[Sequence[Verdict]] = ("open", "unknown", "warning", "absent")


def run(context: Context) -> Outcome:
    """Ask the service's processes, or this one."""
    if context.phase == "preflight":
        return _foretold()
    if context.socket is None:
        return Outcome("no_service")
    try:
        report = context.privacy()
    except ServiceError as error:
        if error.info.type == "unreachable":
            return Outcome("no_service")
        raise
    return of_report(report)


def of_report(report: PrivacyReport) -> Outcome:
    """What the proof amounts to: never better than the worst of its findings."""
    processes = report.processes
    tried = sum(len(each.findings) for each in processes)
    params = {
        "count": str(tried),
        "processes": ",".join(each.process for each in processes),
        "missing": ",".join(report.missing),
    }
    figures = tuple(
        Figure(name=f"seal_{name}", value=sum(f.verdict == verdict for each in processes for f in each.findings))
        for name, verdict in (("open", "open"), ("warnings", "warning"), ("unknown", "unknown"))
    )
    items = [item for verdict in _TOLD for item in _items(processes, verdict)]
    items += [
        Item(code="seal_missing", params={"process": name}) for name in report.missing if not report.foreign_engine
    ]
    verdicts = {finding.verdict for each in processes for finding in each.findings}
    if "open" in verdicts:
        code = "open"
    elif report.missing and not report.foreign_engine:
        code = "not_asked"
    elif "unknown" in verdicts or not tried:
        code = "unknown"
    elif "warning" in verdicts:
        code = "in_part"
    elif report.foreign_engine:
        code = "foreign_engine"
    else:
        code = "sealed" if report.shut else "unknown"
    return Outcome(code, params, figures, tuple(items))


def _foretold() -> Outcome:
    findings = [finding for finding in kernel.view("gateway") if finding.id in _FORETOLD]
    here = ProcessPrivacy(process="gateway", pid=0, findings=findings)
    verdicts = {finding.verdict for finding in findings}
    items = tuple(
        item.model_copy(update={"code": f"{item.code}_foretold"})
        for verdict in _TOLD[:3]
        for item in _items([here], verdict)
    )
    if seal.current() is None:  # not started as our command is
        return Outcome("not_tried", items=items)
    code = "cannot_seal" if "open" in verdicts else "unknown_here" if "unknown" in verdicts else "can_seal"
    if code == "can_seal" and "warning" in verdicts:
        code = "can_seal_in_part"
    return Outcome(code, {"count": str(len(findings))}, items=items)


def _items(processes: Sequence[ProcessPrivacy], verdict: Verdict) -> list[Item]:
    """One line for the findings that mean the same."""
    return [
        Item(
            code=f"seal_{verdict}",
            params={"ids": ",".join(noted.ids), "code": noted.code, "processes": ",".join(noted.processes)},
        )
        for noted in privacy_words.noted_in(processes, verdict)
    ]


CHECK = Check("privacy.seal", run, timeout_s=75.0)
