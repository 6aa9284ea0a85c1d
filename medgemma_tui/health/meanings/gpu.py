"""Outcomes of the checks of the group ``gpu``: the driver, the cards, room for the model. The rest is in gpu_state."""

from __future__ import annotations

from medgemma_tui.health.meanings import gpu_state, xid
from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_

GROUP = "gpu"
TITLE = N_("GPU")
TITLES: dict[str, str] = {
    "gpu.driver": N_("GPU driver"),
    "gpu.present": N_("GPUs found"),
    "gpu.capability": N_("Compute capability"),
    "gpu.memory": N_("Room in GPU memory"),
    "gpu.holders": N_("Who holds GPU memory"),
    **gpu_state.TITLES,
}

_REBOOT = N_(
    "Restart the box. If it is the same afterwards, the card, its slot or its power supply is faulty: service."
)


def _graded(code: str, text: str, advice: str) -> dict[str, Meaning]:
    """One outcome that is critical on an installed box and a warning in the demo, which answers without a GPU."""
    return {code: Meaning("critical", text, advice), f"{code}_demo": Meaning("warning", text, advice)}


_DRIVER: dict[str, Meaning] = {
    "ok": Meaning("ok", N_("Driver {driver}; CUDA {cuda} of the installed PyTorch needs {needed} or newer.")),
    "engine": Meaning("ok", N_("Driver {driver} is loaded; the other engine knows what it needs.")),
    "no_need": Meaning("ok", N_("Driver {driver} is loaded; the installed PyTorch runs on the CPU only.")),
    **_graded(
        "library_not_found",
        N_("NVML: library not found. No NVIDIA driver is installed on this box."),
        N_("Install the NVIDIA driver from the system's packages or the offline bundle; then nvidia-smi must work."),
    ),
    **_graded(
        "driver_not_loaded",
        N_("NVML: driver not loaded."),
        N_(
            "Try: modprobe nvidia, and read what dmesg says. After a kernel update build the module again (dkms "
            "autoinstall); under Secure Boot it must be signed."
        ),
    ),
    **_graded(
        "no_permission",
        N_("NVML: no permission to read the GPU."),
        N_(
            "Look at the mode and group of /dev/nvidia*, put the service's user into that group, and see that its unit "
            "allows these devices (DeviceAllow)."
        ),
    ),
    **_graded(
        "version_mismatch",
        N_("NVML: driver and library versions differ. Restart the box after a driver update."),
        N_("Restart the box, so that the updated driver is loaded; then hold its packages back until the next update."),
    ),
    **_graded("gpu_lost", N_("The GPU is lost: it fell off the bus. The box must be restarted."), _REBOOT),
    **_graded("reset_required", N_("The GPU needs a reset before it can be used."), _REBOOT),
    **_graded(
        "nvml_timeout",
        N_("NVML does not answer."),
        N_("See whether nvidia-smi answers, and whether dmesg has Xid lines. If it hangs, restart the box."),
    ),
    **_graded(
        "nvml_error",
        N_("NVML cannot be used: {error}."),
        N_("Run nvidia-smi and read its message and dmesg; install the driver again if it stays so."),
    ),
    **_graded(
        "too_old",
        N_("Driver {driver} is too old: CUDA {cuda} of the installed PyTorch needs {needed} or newer."),
        N_("Install driver {needed} or newer and restart the box, or install a PyTorch built for an older CUDA."),
    ),
    **_graded(
        "cpu_torch",
        N_("The installed PyTorch is built without CUDA: the model would run on the CPU although a GPU is there."),
        N_("Install the CUDA build of the same PyTorch version from the offline bundle, and restart the service."),
    ),
    "no_torch": Meaning(
        "warning",
        N_("Driver {driver} is loaded; PyTorch is not installed here, so nobody knows which driver it will need."),
        N_("Install the program with its engine: pip install 'medgemma-tui[engine]' from the offline bundle."),
    ),
    "unknown_cuda": Meaning(
        "warning",
        N_("Driver {driver}; PyTorch brings CUDA {cuda}, which is newer than what this program knows of."),
        N_("Compare with NVIDIA's CUDA release notes (table of minimum driver versions), or install PyTorch 2.13."),
    ),
    "odd_version": Meaning(
        "unknown",
        N_("The driver calls itself {driver}, which cannot be compared with {needed}."),
        N_("Compare by hand: cat /proc/driver/nvidia/version"),
    ),
    "no_version": Meaning(
        "unknown",
        N_("The driver does not tell its version."),
        N_("Look at it by hand: cat /proc/driver/nvidia/version"),
    ),
}

_PRESENT: dict[str, Meaning] = {
    "ok": Meaning("ok", N_("{count} found: {cards}.")),
    **_graded(
        "no_device",
        N_("NVML: no GPU in this box."),
        N_("See whether lspci -d 10de: lists a card. If not, check its seat and its power cable; if so, read dmesg."),
    ),
    "lost": Meaning(
        "critical", N_("{card} is lost: it fell off the bus. {answering} of {count} GPUs answer."), _REBOOT
    ),
    "reset_required": Meaning(
        "critical",
        N_("{card} needs a reset before it can be used. {answering} of {count} GPUs answer."),
        N_("Stop the service (systemctl stop medgemma), then nvidia-smi --gpu-reset -i {index}, or restart the box."),
    ),
    "no_permission": Meaning(
        "critical",
        N_("{card} may not be read by this user. {answering} of {count} GPUs answer."),
        N_("Look at the mode and group of /dev/nvidia*, and at DeviceAllow of the service's unit."),
    ),
    "card_error": Meaning(
        "critical",
        N_("{card} does not answer ({error}). {answering} of {count} GPUs answer."),
        N_("Look at it with nvidia-smi -q -i {index} and read dmesg; restart the box if it stays so."),
    ),
}

_BESIDE = N_("The model is on another card. Put this one right, or take it out, when the clinic is closed.")
_PRESENT |= {
    "lost_beside": Meaning(
        "warning", N_("{card} is lost: it fell off the bus. The model is on another of the {count} GPUs."), _BESIDE
    ),
    "reset_required_beside": Meaning(
        "warning",
        N_("{card} needs a reset before it can be used. The model is on another of the {count} GPUs."),
        _BESIDE,
    ),
    "no_permission_beside": Meaning(
        "warning",
        N_("{card} may not be read by this user. The model is on another of the {count} GPUs."),
        N_(
            "If the service is meant to have one GPU only, all is well; else see /dev/nvidia* and the unit's "
            "DeviceAllow."
        ),
    ),
    "card_error_beside": Meaning(
        "warning", N_("{card} does not answer ({error}). The model is on another of the {count} GPUs."), _BESIDE
    ),
}

_ENGINE = Meaning("skipped", N_("Another engine answers in our worker's place: what it needs is not known here."))

_CAPABILITY: dict[str, Meaning] = {
    "ok": Meaning("ok", N_("{card}: compute capability {capability}, with bf16 in hardware.")),
    "slow": Meaning(
        "warning",
        N_(
            "{card}: compute capability {capability}. Below {full} attention is computed in fp32: slower, and with "
            "more memory; the answers are as good."
        ),
        N_("Nothing to repair. For full speed use a card from Ampere on (compute capability {full} or higher)."),
    ),
    **_graded(
        "unsupported",
        N_("{card}: compute capability {capability}; PyTorch with CUDA {cuda} needs {needed} or higher."),
        N_("Use a newer card, or keep this one from the service with CUDA_VISIBLE_DEVICES."),
    ),
    "not_told": Meaning(
        "unknown",
        N_("{card} does not tell its compute capability."),
        N_("Look at it by hand: nvidia-smi --query-gpu=name,compute_cap --format=csv"),
    ),
    "another_engine": _ENGINE,
}

_MEMORY: dict[str, Meaning] = {
    "ok": Meaning(
        "ok",
        N_(
            "{card}: {slots} conversations of {window} tokens need {needed} GiB; {usable} of {total} GiB are to be had."
        ),
    ),
    "loaded": Meaning("ok", N_("{card}: the model is loaded; how much of the memory is its own, the driver hides.")),
    "tight": Meaning(
        "warning",
        N_("{card}: the model is loaded, but {needed} GiB may be needed and {usable} GiB are to be had."),
        N_(
            "A long answer may run out of memory. See in gpu.holders who has come since, or set max_model_len = {fits} "
            "and restart the service."
        ),
    ),
    "does_not_fit": Meaning(
        "critical",
        N_(
            "{card}: {slots} conversations of {window} tokens need {needed} GiB, and only {usable} of {total} GiB are "
            "to be had."
        ),
        N_(
            "Set max_model_len = {fits} in /etc/medgemma/medgemma.toml, or fewer slots, or free memory on the card: "
            "gpu.holders names who holds it."
        ),
    ),
    "too_small": Meaning(
        "critical",
        N_("{card}: even {slots} conversations of the smallest window need more than the {usable} GiB to be had."),
        N_(
            "Free memory on the card (gpu.holders names who holds it), set fewer slots, or use a card with more than "
            "{total} GiB."
        ),
    ),
    "small_window": Meaning(
        "warning",
        N_("{card}: {usable} GiB leave room for {slots} conversations of {window} tokens; {usual} are usual."),
        N_("Free memory on the card (gpu.holders names who holds it), or set fewer slots."),
    ),
    "some_cards": Meaning(
        "warning",
        N_("The model has no room on {cards}, and nobody knows yet which GPU it will be loaded on."),
        N_("Name the GPU with room in the service's unit: systemctl edit medgemma, Environment=CUDA_VISIBLE_DEVICES=0"),
    ),
    "mig_empty": Meaning(
        "critical",
        N_("{card} is set to MIG and has no instance: no program can use it."),
        N_("Make an instance (nvidia-smi mig -cgi …, then -cci), or switch MIG off: nvidia-smi -i {index} -mig 0"),
    ),
    "not_told": Meaning(
        "unknown",
        N_("{card} does not tell how much of its memory is free."),
        N_("Look at it by hand: nvidia-smi --query-gpu=memory.total,memory.free --format=csv"),
    ),
    "no_model": Meaning(
        "skipped", N_("The model's directory cannot be used, so its need is not known: see model.files.")
    ),
    "another_engine": _ENGINE,
}

_HOLDERS: dict[str, Meaning] = {
    "ok": Meaning("ok", N_("{card}: nobody else holds memory.")),
    "others": Meaning("ok", N_("{card}: others hold {gib} GiB ({count} processes), and there is room all the same.")),
    "short_enough": Meaning(
        "warning",
        N_("{card}: {short} GiB are missing. It would be enough to end: {pids}."),
        N_("Ask the owner below to end it. Ops may do so themselves: kill {pids}"),
    ),
    "short": Meaning(
        "warning",
        N_("{card}: {short} GiB are missing, and {count} other processes hold memory."),
        N_("Ask the owners below to end what they do not need, the largest first, and run this again."),
    ),
    "short_anyway": Meaning(
        "warning",
        N_("{card}: {short} GiB are missing; the others' {gib} GiB ({count} processes) would not be enough."),
        N_("Set a smaller max_model_len or fewer slots: gpu.memory tells what fits."),
    ),
    "not_told": Meaning("skipped", N_("{card} does not tell who holds its memory; there is room for the model.")),
    "not_told_short": Meaning(
        "unknown",
        N_("{card}: {short} GiB are missing, and the driver does not tell this user who holds the memory."),
        N_("Ask as root: sudo nvidia-smi, or sudo fuser -v /dev/nvidia*"),
    ),
}

MEANINGS: dict[str, dict[str, Meaning]] = {
    "gpu.driver": _DRIVER,
    "gpu.present": _PRESENT,
    "gpu.capability": _CAPABILITY,
    "gpu.memory": _MEMORY,
    "gpu.holders": _HOLDERS,
    **gpu_state.MEANINGS,
    "gpu.xid": xid.MEANINGS,
}
for _check, _meanings in MEANINGS.items():
    if _check != "gpu.driver":
        _meanings["no_answer"] = Meaning("skipped", N_("No GPU answers: gpu.driver and gpu.present say why."))

_ASK_OWNER = N_("  This one alone would be enough: ask {user} to end it.")

ITEMS: dict[str, Words] = {
    "pci_card": Words(N_("The PCI bus has an NVIDIA card at {address}: only the driver is missing or at fault.")),
    "no_pci_card": Words(N_("The PCI bus has no NVIDIA card.")),
    "card": Words(N_("{card}:")),
    "card_silent": Words(N_("{card}: does not answer")),
    "memory_card": Words(N_("{card}, in GiB:")),
    "memory_weights": Words(N_("  weights {gib}")),
    "memory_slots": Words(N_("+ {slots} conversations of {window} tokens, {each} each: {gib}")),
    "memory_attention": Words(N_("+ attention while a prompt is read {gib}")),
    "memory_upcast": Words(N_("+ the same in fp32, as this card must {gib}")),
    "memory_graphs": Words(N_("+ recorded steps {gib}")),
    "memory_working": Words(N_("+ working memory {gib}")),
    "memory_context": Words(N_("+ CUDA itself {gib}")),
    "memory_needed": Words(N_("= needed {gib}")),
    "memory_room": Words(N_("to be had {gib}: free {free}, held by our own worker {held}, of {total}")),
    "memory_fewer_slots": Words(N_("With this window there is room for slots = {slots}.")),
    "holder_worker": Words(N_("pid {pid} ({user}, {command}): {gib} GiB, our own worker")),
    "holder": Words(N_("pid {pid} ({user}, {command}): {gib} GiB")),
    "holder_enough": Words(N_("pid {pid} ({user}, {command}): {gib} GiB"), _ASK_OWNER),
    "holder_unseen": Words(
        N_("pid {pid}: {gib} GiB; not to be seen from here"),
        N_("  It has just ended, or runs in a container: look for it on the host with ps -fp {pid}."),
    ),
    "holder_desktop": Words(
        N_("pid {pid} ({user}, {command}): {gib} GiB"),
        N_("  A desktop: a box for the clinic needs none. systemctl set-default multi-user.target, then restart it."),
    ),
    **gpu_state.ITEMS,
    **xid.ITEMS,
}
