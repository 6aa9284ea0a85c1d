"""What went wrong, in a sentence: what happened, what was kept, what to do next. In the language in use.

The one place that words the wire's typed errors, health reasons and finish reasons; the screen, plain mode and
``ask`` all speak through it. Values from elsewhere (file names, other programs' words) are made safe here.
"""

from __future__ import annotations

from collections import defaultdict

from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import N_, _, language
from medgemma_tui.protocol import ErrorInfo, Health, Progress
from medgemma_tui.safetext import clean_line

MODEL_PROBLEMS = {  # by ModelDirError's codes
    "not_absolute": N_("The model directory {path} is not an absolute path. Give the whole path from /."),
    "missing": N_("There is no model directory {path}. Check the path after --model."),
    "not_a_directory": N_("{path} is a file, not a model directory. Give the directory that holds config.json."),
    "no_config": N_("{path} has no config.json, so it is not a model directory. Was the copy finished?"),
    "bad_config": N_("{file} cannot be read as a model's configuration. Copy the model directory again."),
    "not_gemma3": N_(
        "{path} holds a model of type {model_type}; this program runs Gemma 3 (MedGemma 1.5 4B). "
        "Give a directory with MedGemma's weights."
    ),
    "pickle_files": N_(
        "{file} is a pickle file, which can run code when opened, so the model is not loaded. "
        "Use the safetensors version of these weights and remove that file."
    ),
    "no_weights": N_("{path} holds no .safetensors file. Was the copy finished?"),
    "missing_shard": N_("The weights file {file} is missing. Copy the model directory again."),
    "truncated": N_(
        "The weights file {file} is cut short: {actual} of {expected} bytes are there. Copy that file again."
    ),
    "missing_tensor": N_("The weights lack {tensor}. Copy the model directory again."),
    "bad_weights": N_("The weights do not belong to config.json: {problem}. Copy both again from one model."),
    "damaged": N_("{file} is not what its name says, or is damaged ({actual} bytes). Copy that file again."),
    "lfs_pointer": N_(
        "{file} is only a Git-LFS pointer to the file. Run git lfs pull where it was cloned, and copy that file again."
    ),
    "no_tokenizer": N_("{path} has no usable tokenizer ({file}). Copy it from the same model."),
    "unsupported_quantization": N_(
        "These weights are quantised as {quantization}, which this program does not run. "
        "Use the original bf16 weights, or weights quantised to 4-bit NF4."
    ),
    "unreadable": N_("{file} cannot be read ({reason}). Ask the box's staff to look at its permissions and the disk."),
    "does_not_fit": N_(
        "The model needs {needed} of GPU memory and {free} is free. The largest window that would fit is "
        "{window} tokens. Choose a smaller max_model_len, or free memory on the card (F3, then M, shows who holds it)."
    ),
    "too_small_gpu": N_(
        "The model needs {needed} of GPU memory even for its smallest window with {slots} slots, and {free} is free. "
        "Free memory on the card (F3, then M, shows who holds it), or set fewer slots."
    ),
}

_ERRORS = {
    "loading": N_("The model is still loading. Nothing was lost; ask again in a moment."),
    "starting": N_("The model is starting. Nothing was lost; ask again in a moment."),
    "queue_full": N_("Too many questions are waiting ({before} before yours). Yours was kept; send it again later."),
    "worker_lost": N_(
        "The model process stopped while it answered and is being restarted. What had been written is kept; "
        "ask again when the model is ready."
    ),
    "out_of_memory": N_("Memory has run out. The conversation is kept; F3, then M, shows who holds the memory."),
    "unreachable": N_("The service on this box does not answer. What was written is kept; ask again when it is back."),
    "interrupted": N_("The connection to the service broke. What had been written is kept; ask again."),
    "silent": N_(
        "The service has said nothing for too long and was given up. What had been written is kept; ask again, "
        "or tell the box's staff."
    ),
    "context_length_exceeded": N_("The text is longer than the context window. Nothing was sent and nothing was cut."),
    "too_large": N_("The text is too large to send. Nothing was sent and nothing was cut."),
    "forbidden": N_("This user may not use the service. Ask the box's staff to be added to the clinic's group."),
    "user_queue_full": N_(
        "You have as many questions waiting as one person may ({count}). This one was kept; send it again later."
    ),
    "too_many_calls": N_("Your account has too much going on at once. Nothing was lost; try again in a moment."),
    "parked_full": N_(
        "The memory for parked conversations is full, so this one was not parked. Nobody else's was thrown out for it."
    ),
    "failed": N_("The model could not be kept running. The box's staff should look at the service's log."),
    "health_running": N_("A health run is going on already. Wait for its end; what it finds will be the last report."),
    "own_user_needed": N_("This is for the service's own user and root only."),
    "shutting_down": N_("The service is being stopped. What had been written is kept; ask again when it is back."),
}

_NOT_ALLOWED = {  # by the code beside ``forbidden``, where the group is known
    "peer_not_allowed": N_(
        "Your account is not in the group {group}, whose members may use this service. "
        "Ask the box's staff to add it, then log in again."
    ),
    "role_needed": N_("This is for members of the group {group}, and your account is not in it. Ask the box's staff."),
    "no_permission": N_(
        "The service's socket is closed to your account. Ask the box's staff to add it to the group {group}, "
        "then log in again."
    ),
}

_TOO_LONG = {  # by what is known of the length
    "count": N_(
        "The text is {count} tokens long and the context window takes {limit}. Nothing was sent and nothing was cut."
    ),
    "at_least": N_(
        "The text is at least {at_least} tokens long and the context window takes {limit}. "
        "Nothing was sent and nothing was cut."
    ),
}

_MEMORY = {  # by the code beside ``out_of_memory``
    "gpu_loading": N_(
        "There is not enough GPU memory to load the model. Free memory on the card (F3, then M, shows who holds it), "
        "or set fewer slots or a smaller max_model_len."
    ),
    "host_loading": N_(
        "This box has not enough memory to load the model. Free memory (F3, then S, shows what is in use), "
        "or set fewer slots or a smaller max_model_len."
    ),
    "gpu_answering": N_(
        "The GPU has run out of memory. The conversation is kept. Ask a shorter question, start a new patient, "
        "or see with F3, then M, who holds the memory."
    ),
    "host_answering": N_(
        "This box has run out of memory. The conversation is kept. Ask a shorter question or start a new patient."
    ),
}

AUDIT_PROBLEMS = {  # by the code beside ``audit_full``: why, and what the box's staff do
    "disk_full": (N_("the disk is full"), N_("free space for {path}.")),
    "read_only": (N_("its file system is read-only"), N_("look at the disk, and mount it for writing: {path}.")),
    "io_error": (N_("the disk reports errors"), N_("look at the disk that holds {path}.")),
    "no_permission": (N_("no permission to write"), N_("let the service's user write to {path}.")),
    "no_directory": (N_("its directory is not there"), N_("make {path}, for the service's user to write to.")),
    "no_key": (N_("its key is not there"), N_("put back the key {path}.")),
    "key_readable": (
        N_("others may read its key"),
        N_("if somebody has read it, keep the log and begin a new one; else make {path} 0400."),
    ),
    "bad_key": (N_("its key is damaged"), N_("put back the key {path}.")),
    "wrong_key": (N_("it was written with another key"), N_("put back the key of the log {path}.")),
    "broken_chain": (
        N_("its last records were altered or are missing"),
        N_("run medgemma-tui audit verify, and keep {path} as it is."),
    ),
}

_HEALTH_RUN = {  # by the code beside ``health_failed``
    "not_started": N_("The health run could not be started."),
    "hung": N_("The health run said nothing for too long ({seconds} s) and was ended."),
    "bad_output": N_("The health run told what could not be read, and was ended."),
    "killed": N_("The health run was ended by another ({signal}) before it had a report."),
    "no_report": N_("The health run ended without a report (exit code {exit})."),
    "shutting_down": N_("The service is being stopped, and the health run with it."),
}

FINISHES = {  # by finish reason
    "length": N_("The answer reached its length limit and may be incomplete."),
    "cancelled": N_("Stopped by you; the answer is incomplete."),
    "second_trace": N_("Ended: the model began to reason a second time. Read what came before with care."),
    "next_speaker": N_("Ended: the model began to write your next question itself."),
    "repetition": N_("Ended: the model went round in a loop. The answer is incomplete."),
    "non_finite": N_("Ended: the model's numbers became invalid. Do not use this answer; tell the box's staff."),
}


def sentence(error: ErrorInfo) -> str:
    """A failed call in a sentence. A type that is not known here is told with the service's own words."""
    if error.type == "model_invalid":
        told = model_sentence(error.code, error.params or {}) if isinstance(error.code, str) else ""
        return told or clean_line(error.message) or _("The model cannot be loaded.")
    if error.type == "not_started":
        return _("The service on this box could not be started: {detail}").format(detail=clean_line(error.message))
    params = error.params or {}
    if error.type == "audit_full":
        return audit_sentence(str(error.code), params)
    if error.type == "unfit":
        return unfit_sentence(params)
    if error.type == "health_failed" and error.code in _HEALTH_RUN:
        more = _("The last report stays as it was. Run medgemma-tui health as the service's user to see more.")
        return _joined(_filled(_HEALTH_RUN[str(error.code)], params), more)
    known = _known(error.type, error.code)
    if error.code == "context_length_exceeded" and "limit" in params:
        known = next((_TOO_LONG[name] for name in _TOO_LONG if name in params), known)
    if params.get("group"):
        known = _NOT_ALLOWED.get(str(error.code), known)
    if known is None:
        return _("The service refused: {message}").format(message=clean_line(error.message))
    before = {} if error.position is None else {"before": str(error.position - 1)}
    return _filled(known, {**params, **before})


def health_sentence(health: Health) -> str:
    """Why the service is not ready, in a sentence; empty when it is."""
    if health.reason == "ready":
        return ""
    if health.reason == "loading" and health.percent is not None:
        return _("Loading the model: {percent} %").format(percent=f"{health.percent:.0f}")
    if health.reason in ("starting", "loading"):
        return _("The model is starting; questions wait for it.")
    if health.reason == "model_invalid":
        return model_sentence(health.code, health.params) or clean_line(health.detail)
    if health.reason == "worker_lost":
        return _("The model process stopped; it is being restarted.")
    if health.reason == "audit_full":
        return audit_sentence(health.code, health.params)
    if health.reason == "unfit":
        return unfit_sentence(health.params)
    known = _known(health.reason, health.code)
    return _(known) if known else clean_line(health.detail)


def audit_sentence(code: str, params: dict[str, str]) -> str:
    """Why no question is taken although the model is there: a question must be on record before it is answered."""
    why, help_ = AUDIT_PROBLEMS.get(code, ("", ""))
    parts = [
        _("No question is taken: the audit log cannot be written ({reason}).").format(reason=_(why))
        if why
        else _("No question is taken: the audit log cannot be written."),
        _("Running answers finish; what you typed is not lost."),
    ]
    if help_ and params.get("path"):
        parts.append(_("The box's staff: {help}").format(help=_filled(help_, params)))
    else:
        parts.append(_("The box's staff should look at the service's log."))
    return _joined(*parts)


def unfit_sentence(params: dict[str, str]) -> str:
    """Why no question is taken although the model is there: the last health run found the box not fit, and the site's
    policy is not to answer then. ``params``: ``time`` of that run, ``failing`` ids by commas."""
    from medgemma_tui.health.wording import title  # which knows more than most commands need

    failing = _(", ").join(title(each) for each in params.get("failing", "").split(",") if each)
    why = N_("No question is taken: the health run of {time} found this box not fit ({failing}).")
    return _joined(
        _filled(why, {"time": params.get("time", "?"), "failing": failing or "?"}),
        _("Running answers finish; what you typed is not lost."),
        _(
            "The box's staff: see with F3 or medgemma-tui health what to do; a run that finds the box fit opens it "
            "again."
        ),
    )


def _joined(*sentences: str) -> str:
    return ("" if language() == "zh" else " ").join(sentences)


def _known(reason: str, code: str | int | None) -> str | None:
    """The sentence, not yet translated, for a reason of the wire and its code."""
    general = _ERRORS.get(reason)
    return _MEMORY.get(str(code), general) if reason == "out_of_memory" else _ERRORS.get(str(code), general)


def _filled(sentence: str, values: dict[str, str]) -> str:
    """The sentence in the language in use; its values are made safe, one that is not known is a question mark."""
    return _(sentence).format_map(defaultdict(lambda: "?", {name: clean_line(text) for name, text in values.items()}))


def model_sentence(code: str, params: dict[str, str]) -> str:
    """Why a model directory cannot be used, in a sentence; empty for a code that is not known."""
    known = MODEL_PROBLEMS.get(code)
    if known is None:
        return ""
    return _filled(known, params)


def finish_sentence(reason: str) -> str:
    """Why an answer ended, in a sentence; empty for the ordinary end."""
    if reason in ("stop", ""):
        return ""
    known = FINISHES.get(reason)
    return _(known) if known else _("Ended: {reason}").format(reason=clean_line(reason))


def no_answer() -> str:
    """The sentence for a reply that ended before its answer began."""
    return _("There is no answer: the reply ended before one began. Allow more tokens, or less reasoning.")


def finish_exit_code(reason: str, answer: str) -> ExitCode:
    """The exit code of a whole reply: OK where it holds an answer that may be read."""
    spoilt = not answer.strip() or reason in ("repetition", "non_finite")
    return ExitCode.FAILED if spoilt else ExitCode.OK


def progress_sentence(progress: Progress) -> str:
    """What a question waits for, in a few words."""
    percent = f"{progress.percent or 0:.0f}"
    if progress.phase == "loading":
        return _("waiting: the model is loading, {percent} %").format(percent=percent)
    if progress.phase == "prefill":
        return _("reading the prompt, {percent} %").format(percent=percent)
    if progress.phase == "audit":
        return _("waiting: the audit log cannot be written")
    return _("waiting: {position} in the queue").format(position=progress.position or 1)


def demo_does_not_know() -> str:
    """The sentence beside an answer to a question that is not in the demo's corpus."""
    return _("The demo model only knows its own questions; this one is not among them. DEMO, NOT MEDICAL.")


def health_exit_code(health: Health | None) -> ExitCode:
    """The exit code of a screen that was left in this state: OK unless the model could not be had at all."""
    final = {
        "model_invalid": ExitCode.MODEL_INVALID,
        "out_of_memory": ExitCode.OUT_OF_MEMORY,
        "failed": ExitCode.SERVICE_LOST,
    }
    return final.get(health.reason, ExitCode.OK) if health is not None else ExitCode.OK


def exit_code(error: ErrorInfo) -> ExitCode:
    """The exit code that goes with a failed call."""
    return {
        "model_invalid": ExitCode.MODEL_INVALID,
        "out_of_memory": ExitCode.OUT_OF_MEMORY,
        "unreachable": ExitCode.SERVICE_LOST,
        "interrupted": ExitCode.SERVICE_LOST,
        "worker_lost": ExitCode.SERVICE_LOST,
        "failed": ExitCode.SERVICE_LOST,
        "not_started": ExitCode.SERVICE_LOST,
        "shutting_down": ExitCode.SERVICE_LOST,
        "unfit": ExitCode.SERVICE_LOST,
        "forbidden": ExitCode.SERVICE_LOST,
        "cancelled": ExitCode.INTERRUPTED,
    }.get(error.type, ExitCode.FAILED)
