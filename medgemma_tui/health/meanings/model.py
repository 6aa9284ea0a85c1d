"""Outcomes of the checks of the group ``model``."""

from __future__ import annotations

from typing import Final

from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_
from medgemma_tui.problems import MODEL_PROBLEMS

GROUP = "model"
TITLE = N_("Model")
TITLES: dict[str, str] = {
    "model.files": N_("Model directory"),
    "model.hashes": N_("Model files against their hashes"),
    "model.decode": N_("A real answer's first token"),
    "model.speed": N_("Speed against this box's own record"),
    "model.logits": N_("The model's numbers are valid"),
}

FOREIGN_ENGINE: Final = Meaning("skipped", N_("Another engine answers; its model is not ours to read."))
_COPY_AGAIN = N_(
    "Put it right, then run medgemma-tui health --only model, and restart the service if it had loaded it."
)

_FILES = {
    "ok": Meaning("ok", N_("The model directory is whole: {files} weight files, {parameters} parameters.")),
    "foreign_engine": FOREIGN_ENGINE,
    **{code: Meaning("critical", text, _COPY_AGAIN) for code, text in MODEL_PROBLEMS.items()},
}

_REPLACE = N_(
    "Do not use this model. Copy {file} again from where the model came from, restart the service, and run "
    "medgemma-tui health --full."
)
_AS_FOUND = N_(
    "If the model was replaced on purpose, remove {record} and run this again. If not, do not use it: copy it again "
    "from where it came from."
)
_HASHES = {
    "ok": Meaning("ok", N_("Every byte of {count} files is as the manifest says.")),
    "unchanged": Meaning(
        "ok", N_("{count} files are as the manifest says; {cached} of them are untouched since they were last read.")
    ),
    "as_found": Meaning(
        "ok",
        N_(
            "There is no manifest. {count} files are as they were found on {date}; {cached} of them are untouched "
            "since they were last read."
        ),
    ),
    "recorded": Meaning(
        "warning",
        N_("There is no manifest to compare with. What is there now ({count} files) was recorded as found on {date}."),
        N_(
            "Compare the hashes in {record} once with those of the model's source. Later runs tell every change from "
            "today on."
        ),
    ),
    "manifest_gone": Meaning(
        "warning",
        N_("manifest.json is no longer there. The {count} files are still as it said on {date}."),
        N_("Put manifest.json back from where the model came from."),
    ),
    "foreign_engine": FOREIGN_ENGINE,
    "missing_file": Meaning("critical", N_("{file} is in the manifest but not in the directory."), _REPLACE),
    "extra_file": Meaning(
        "critical",
        N_("{file} is in the directory but not in the manifest, and a loader would read it."),
        N_("Find out who put it there, remove {file}, and restart the service."),
    ),
    "wrong_size": Meaning("critical", N_("{file} has {actual} bytes; the manifest says {expected}."), _REPLACE),
    "wrong_hash": Meaning(
        "critical", N_("{file} is not the file that the manifest names: its hash differs."), _REPLACE
    ),
    "unreadable": Meaning(
        "critical",
        N_("{file} cannot be read ({reason})."),
        N_("Look at its owner and mode and at the disk; copy the file again."),
    ),
    "several": Meaning(
        "critical",
        N_("{count} files are not as the manifest says."),
        N_(
            "Do not use this model. Copy the model directory again from where it came from, restart the service, and "
            "run medgemma-tui health --full."
        ),
    ),
    "changed": Meaning("critical", N_("{count} files are not as they were found on {date}."), _AS_FOUND),
    "bad_manifest": Meaning(
        "critical",
        N_("manifest.json cannot be used ({problem})."),
        N_("Copy manifest.json again from where the model came from, and upgrade this program if that is newer."),
    ),
    "no_directory": Meaning(
        "critical", N_("The model directory cannot be listed ({reason})."), N_("See the check model.files.")
    ),
    "stalled": Meaning(
        "unknown",
        N_("No byte of {file} could be read for {seconds} s."),
        N_("Look at the disk or the network mount that holds the model (dmesg), then run this again."),
    ),
    "not_kept": Meaning(
        "warning",
        N_("The files are right, but what was found could not be kept ({problem})."),
        N_("Make that place writable for the service's user: each run hashes everything until then."),
    ),
}

_SEE_LOG = N_("Look at the service's log (journalctl -u medgemma), then restart the service.")
NOT_ANSWERED: Final[dict[str, Meaning]] = {
    "loading": Meaning(
        "unknown", N_("The model is still loading."), N_("Wait until it is there and run the check again.")
    ),
    "worker_lost": Meaning("critical", N_("The model process stopped and is being restarted."), _SEE_LOG),
    "out_of_memory": Meaning(
        "critical",
        N_("Memory ran out ({reason})."),
        N_("See who holds the GPU's memory (group gpu of this report, or F3), free it, and restart the service."),
    ),
    "model_invalid": Meaning(
        "critical",
        N_("The model cannot be loaded ({reason})."),
        N_("The check model.files says what is wrong with it."),
    ),
    "failed_to_start": Meaning("critical", N_("The model process could not be kept running."), _SEE_LOG),
    "audit_full": Meaning(
        "critical",
        N_("No question is taken: the audit log cannot be written ({reason})."),
        N_("See the group audit of this report: free space, or put its key and permissions right."),
    ),
    "busy": Meaning(
        "unknown",
        N_("All places were taken by other questions, so the model could not be asked."),
        N_("Run the check again when fewer people are asking."),
    ),
    "no_answer": Meaning(
        "critical",
        N_("The model took the question and gave no answer within {seconds} s: it hangs."),
        N_(
            "Restart the service (systemctl restart medgemma); if it hangs again, look at its log and at the group gpu."
        ),
    ),
    "unreachable": Meaning(
        "critical",
        N_("The service does not answer on its socket."),
        N_("Look at it with systemctl status medgemma, and start it."),
    ),
    "forbidden": Meaning(
        "unknown",
        N_("This account may not ask the model."),
        N_("Run the check as the service's user or as root, or have the account added to the users' group."),
    ),
    "refused": Meaning("critical", N_("The question was refused ({reason})."), _SEE_LOG),
}
"""Why a question of the run's own got no answer, by ``decoding.Why``."""
NOT_ASKED: Final[dict[str, Meaning]] = {
    "busy": NOT_ANSWERED["busy"],
    "not_asked": Meaning(
        "unknown",
        N_("Not measured: the model gave no answer ({reason})."),
        N_("See the check model.decode; run this again when that is ok."),
    ),
}
"""For checks that need the model for something else than to see that it answers."""

_DECODE = {
    "ok": Meaning("ok", N_("The model answers: its first token came after {seconds} s.")),
    "no_text": Meaning("critical", N_("The reply ended without a single token ({reason})."), _SEE_LOG),
    **NOT_ANSWERED,
}

_FIND_CAUSE = N_(
    "See who else uses the box (group gpu, medgemma-tui health -v). If it is meant to be slower now, record anew: "
    "medgemma-tui health --new-baseline."
)
_SPEED = {
    "ok": Meaning("ok", N_("{rate} tokens/s: {percent} % of the {baseline} that were recorded on {date}.")),
    "recorded": Meaning("ok", N_("{rate} tokens/s, recorded as what later runs are compared with.")),
    "slow": Meaning(
        "warning", N_("{rate} tokens/s: only {percent} % of the {baseline} that were recorded on {date}."), _FIND_CAUSE
    ),
    "slow_throttled": Meaning(
        "warning",
        N_(
            "{rate} tokens/s: only {percent} % of the {baseline} that were recorded on {date}, and the card is "
            "throttled."
        ),
        N_("Look at the card's cooling and power supply; the lines below say why it holds itself back."),
    ),
    "throttled": Meaning(
        "warning",
        N_("{rate} tokens/s while the card is throttled, so it was not recorded as this box's speed."),
        N_("Look at the card's cooling and power supply, then run the check again."),
    ),
    "off_card": Meaning(
        "warning",
        N_("{rate} tokens/s on the CPU; the {baseline} on record are of {device}, and stay recorded."),
        N_(
            "See service.worker and the group gpu for why. If it is meant so, record anew: medgemma-tui health "
            "--new-baseline."
        ),
    ),
    "shared": Meaning("skipped", N_("{rate} tokens/s while {count} others were being answered: not judged.")),
    "too_short": Meaning(
        "unknown",
        N_("The reply was too short to measure by ({tokens} tokens)."),
        N_("Ask something by hand (medgemma-tui ask) and see whether the model writes whole answers."),
    ),
    "not_kept": Meaning(
        "warning",
        N_("{rate} tokens/s; it could not be recorded for later runs ({problem})."),
        N_("Make that place writable for the service's user."),
    ),
    **NOT_ASKED,
}

_LOGITS = {
    "ok": Meaning("ok", N_("No invalid number in {count} replies of this run.")),
    "non_finite": Meaning(
        "critical",
        N_("The model's numbers became invalid (NaN or infinite) in {count} of {total} replies of this run."),
        N_(
            "Do not use its answers. Run medgemma-tui health --full, look at the card's ECC errors "
            "(group gpu), and restart the service."
        ),
    ),
    **NOT_ASKED,
}

MEANINGS: dict[str, dict[str, Meaning]] = {
    "model.files": _FILES,
    "model.hashes": _HASHES,
    "model.decode": _DECODE,
    "model.speed": _SPEED,
    "model.logits": _LOGITS,
}
ITEMS: dict[str, Words] = {
    "model_missing_file": Words(N_("{file} is missing")),
    "model_extra_file": Words(N_("{file} is not listed, and a loader would read it")),
    "model_wrong_size": Words(N_("{file} has {actual} bytes, not {expected}")),
    "model_wrong_hash": Words(N_("{file} has another hash")),
    "model_unreadable": Words(N_("{file} cannot be read ({reason})")),
    "speed_sw_power_cap": Words(N_("held back by the power limit")),
    "speed_hw_slowdown": Words(N_("slowed down by the hardware (heat or power)")),
    "speed_sw_thermal": Words(N_("held back by heat (driver)")),
    "speed_hw_thermal": Words(N_("held back by heat (hardware)")),
    "speed_hw_power_brake": Words(N_("held back by the power supply (brake signal)")),
    "speed_versions": Words(N_("the record was made with {before}; now it is {now}")),
    "speed_cpu_busy": Words(N_("the processors are busy: load {load} on {cores} cores")),
}
