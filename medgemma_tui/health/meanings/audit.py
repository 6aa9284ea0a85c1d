"""Outcomes of the checks of the group ``audit``. The verifier's findings are worded by ``audit_words``."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from medgemma_tui import audit_words, problems
from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_
from medgemma_tui.protocol import AuditFinding, AuditNote
from medgemma_tui.safetext import clean_line

_KEEP = N_(
    "Keep the log, its anchors and its key as they are, and tell the security officer; medgemma-tui audit "
    "verify lists "
    "everything. Then begin a new log with a new key."
)
_APPEND = N_(
    "As root: chattr +a {path}, or run the service under systemd as a user of its own, so that the journal takes the "
    "anchors."
)
_MAKE_ROOM = N_(
    "Copy the oldest files of the log to another disk and keep them there, or make the file system larger; "
    "while the log "
    "cannot be written, no question is answered."
)
_NOT_YOURS: dict[str, Meaning] = {
    "log_not_yours": Meaning(
        "skipped", N_("The service's audit log is not for this user to check: that is for auditors and its own user.")
    ),
    "log_elsewhere": Meaning(
        "skipped", N_("The service does not answer, and where its audit log is only it knows (audit_dir is not set).")
    ),
}
_NONE_YET = Meaning("skipped", N_("There is no audit log yet ({path}): it begins when the service starts."))
_FROM_AFAR = Meaning(
    "skipped",
    N_(
        "The audit log is the service's and cannot be looked at from here: its own user can, or the service when it is "
        "asked for a run."
    ),
)

GROUP = "audit"
TITLE = N_("Audit log")
TITLES: dict[str, str] = {
    "audit.chain": N_("Audit chain"),
    "audit.anchor": N_("Audit anchors"),
    "audit.space": N_("Space for the audit log"),
    "audit.key": N_("Audit key"),
}
MEANINGS: dict[str, dict[str, Meaning]] = {
    "audit.chain": {
        **_NOT_YOURS,
        "none_yet": _NONE_YET,
        "whole": Meaning("ok", N_("Whole: records {first} to {last} in {path}, every one unaltered and in order.")),
        "torn": Meaning(
            "warning",
            N_("The last line of the log is half written, as a power loss leaves it; all before it is whole."),
            N_("Restart the service: it sets the line aside and records that. Find out why the box lost power."),
        ),
        "broken": Meaning("critical", N_("NOT WHOLE: {count} findings in the audit log {path}."), _KEEP),
        "gone": Meaning(
            "critical",
            N_("The audit log is gone: record {seq} was written to {path}, and no file is there."),
            _KEEP,
        ),
        "no_key": Meaning(
            "critical",
            N_("The audit log {path} cannot be checked: its key is not there, is damaged, or is another log's."),
            N_("Put the log's own key back from its safe copy. Without it nothing can be said of the log; "
                "keep both."),
        ),
        "unreadable": Meaning(
            "unknown",
            N_("The audit log {path} or its key cannot be read."),
            N_("Run it as the log's owner (the line below says what hinders), and look at the disk where it "
                "reports errors."),
        ),
    },
    "audit.anchor": {
        **_NOT_YOURS,
        "none_yet": _NONE_YET,
        "anchored": Meaning(
            "ok",
            N_("Anchored where the service's user cannot rewrite it; {after} records since the last anchor."),
        ),
        "journal_only": Meaning("ok", N_("Anchored in the system's journal; the file of anchors has none.")),
        "rewritable": Meaning(
            "warning",
            N_(
                "Anchored only in a file that the service's user can rewrite ({path}): whoever takes records "
                "off the log's "
                "end can hide it there."
            ),
            _APPEND,
        ),
        "rewritable_demo": Meaning(
            "ok",
            N_(
                "Anchored, {after} records since the last anchor; in a file that its own user could "
                "rewrite, which "
                "will do for a demo only."
            ),
        ),
        "behind": Meaning(
            "warning",
            N_("{after} records are newer than the last anchor: anchoring has stopped."),
            N_("See that {path} can be written to by the service's user and its disk has room; then restart "
                "the service."),
        ),
        "gone": Meaning(
            "critical",
            N_("The log has {records} records and no anchor ({path}): they were removed, or could never be written."),
            N_(
                "Ask who removed them, and tell the security officer. Compare the log's end with the journal "
                "(journalctl -t medgemma-audit -o cat) and with the last health reports; the next record is "
                "anchored again."
            ),
        ),
        "no_key": Meaning(
            "unknown",
            N_("Without the log's key ({path}) its anchors cannot be checked."),
            N_("See the result of the audit key."),
        ),
        "not_checked": Meaning(
            "unknown",
            N_("The log could not be checked, and so neither its anchors."),
            N_("See the result of the chain."),
        ),
        "unreadable": Meaning(
            "unknown",
            N_("The anchors {path} cannot be read ({reason})."),
            N_("Run it as the log's owner, or look at the disk."),
        ),
    },
    "audit.space": {
        **_NOT_YOURS,
        "not_from_here": _FROM_AFAR,
        "room": Meaning(
            "ok", N_("{free} free for the audit log, {days} days at {per_day} a day; it is kept for {kept} days.")
        ),
        "short": Meaning(
            "warning",
            N_(
                "{free} free for the audit log: at {per_day} a day it is full in {days} days, and {needed} "
                "is needed to keep "
                "records for {kept} days."
            ),
            _MAKE_ROOM,
        ),
        "almost_full": Meaning(
            "critical", N_("Only {free} free for the audit log ({path}): {days} days at {per_day} a day."), _MAKE_ROOM
        ),
        "read_only": Meaning(
            "critical",
            N_("The file system of the audit log is read-only ({on})."),
            N_("Look at the kernel's log for disk errors, repair the disk, and mount it for writing: {on}."),
        ),
        "no_permission": Meaning(
            "critical",
            N_("The audit log's directory cannot be written to ({on})."),
            N_("Let the service's user write there: chown and chmod u+rwx {on}."),
        ),
        "unreadable": Meaning(
            "unknown",
            N_("The audit log {path} cannot be read ({reason}), so how fast it grows is not known."),
            N_("Run it as the log's owner, or look at the disk."),
        ),
        "refused": Meaning(
            "critical",
            N_("The service cannot write its audit log, so no question is answered."),
            N_("Do what the line below says; the service tries again by itself."),
        ),
    },
    "audit.key": {
        **_NOT_YOURS,
        "not_from_here": _FROM_AFAR,
        "none_yet": Meaning("skipped", N_("There is no audit key yet ({path}): it is made with the first record.")),
        "private": Meaning("ok", N_("The key {path} is {owner}'s, and nobody else can read or replace it.")),
        "exposed": Meaning(
            "critical",
            N_("Others than its owner may read the audit key {path} (mode {mode}): who has it can rewrite the log."),
            N_(
                "chmod 0400 {path}. If anybody may have read it, move log, anchors and key away together as "
                "evidence, so "
                "that a new log begins with a new key, and tell the security officer."
            ),
        ),
        "wrong_owner": Meaning(
            "critical",
            N_("The audit key {path} belongs to {owner}, not to the service's user {service}."),
            N_("Find out who put it there. If it is the right key: chown {service} {path} and chmod 0400 {path}."),
        ),
        "directory_open": Meaning(
            "critical",
            N_("Others can replace the audit log or its key: {directory} (mode {mode}) is theirs to write to."),
            N_("chmod go-w {directory}, and see that it belongs to root or to the service's user."),
        ),
        "missing": Meaning(
            "critical",
            N_("The audit key {path} is not there, and its log is ({log})."),
            N_("Put it back from its safe copy. If there is none, move the log and its anchors away as "
                "evidence; a new log "
               "then begins with a new key."),
        ),
        "bad": Meaning(
            "critical",
            N_("{path} holds no key: 64 hexadecimal digits are expected."),
            N_("Put the right key back from its safe copy; the log cannot be checked or continued without it."),
        ),
        "unreadable": Meaning(
            "unknown",
            N_("The audit key {path} cannot be looked at ({reason})."),
            N_("Run it as the service's user: medgemma-tui health asks the service to, where you are of its "
                "ops group."),
        ),
    },
}  # fmt: skip


def _finding(params: Mapping[str, str]) -> str:
    try:
        return audit_words.finding(AuditFinding.model_validate(dict(params)))
    except ValidationError:
        return clean_line(params.get("kind", "?"))


def _note(params: Mapping[str, str]) -> str:
    try:
        return audit_words.note(AuditNote.model_validate(dict(params)))
    except ValidationError:
        return clean_line(params.get("kind", "?"))


def _refused(params: Mapping[str, str]) -> str:
    return problems.audit_sentence(params.get("code", ""), dict(params))


ITEMS: dict[str, Words] = {
    "audit_finding": Words(worded=_finding),
    "audit_note": Words(worded=_note),
    "audit_more": Words(N_("… and {count} more.")),
    "audit_refused": Words(worded=_refused),
}
