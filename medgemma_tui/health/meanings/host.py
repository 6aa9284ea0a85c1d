"""Outcomes of the checks of the group ``host``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

from medgemma_tui import privacy_words
from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import ProcessName
from medgemma_tui.safetext import clean_line

_FREE_MEMORY = N_(
    "End what else uses memory (ps aux --sort=-rss | head), raise MemoryMax= where the service's unit limits "
    "it, or put "
    "more RAM into the box."
)
_FREE_DISK = N_("Make room where the lines below say (du -xh --max-depth=1 on that file system shows what is large).")
_RAISE_FILES = N_(
    "Set LimitNOFILE=4096 in the service's unit (started by hand: ulimit -n 4096), and restart the service."
)
_NOT_SEEN = N_(
    "Nothing need be wrong. Run medgemma-tui health --full before the clinic relies on it, and say so to who "
    "maintains it."
)
_SET_CLOCK = N_(
    "Compare with a watch, and set the clock (timedatectl set-time 'YYYY-MM-DD hh:mm:ss'; hwclock "
    "--systohc); where it "
    "goes wrong again after a power cut, change the mainboard's battery."
)
_INSTALL_AGAIN = N_("Install this version again from its bundle: it brings the tested set with it.")

GROUP = "host"
TITLE = N_("Host")
TITLES: dict[str, str] = {
    "host.memory": N_("Memory"),
    "host.swap": N_("Swap"),
    "host.disk": N_("Disk space"),
    "host.inodes": N_("Inodes"),
    "host.files": N_("File descriptors"),
    "host.system": N_("System"),
    "host.packages": N_("Packages"),
    "host.clock": N_("Clock"),
}
MEANINGS: dict[str, dict[str, Meaning]] = {
    "host.memory": {
        "enough": Meaning("ok", N_("{available} of memory available; loading the model needs {need}.")),
        "enough_running": Meaning(
            "ok", N_("{available} of memory available beside the loaded model; loading it again needs {need}.")
        ),
        "available": Meaning("ok", N_("{available} of memory available.")),
        "no_model": Meaning(
            "ok", N_("{available} of memory available; what the model needs is not known, as it cannot be read.")
        ),
        "tight": Meaning(
            "warning",
            N_("{available} of memory available; loading the model needs {need}: it will load slowly, if at all."),
            _FREE_MEMORY,
        ),
        "too_little": Meaning(
            "critical",
            N_("Too little memory to load the model: {available} available, {least} needed at the very least."),
            _FREE_MEMORY,
        ),
        "no_restart": Meaning(
            "warning",
            N_(
                "The model is loaded, and would not load again: {free} could be had, {least} is needed at "
                "the very least."
            ),
            _FREE_MEMORY,
        ),
        "low": Meaning("warning", N_("Only {available} of memory available."), _FREE_MEMORY),
        "exhausted": Meaning(
            "critical",
            N_("Memory is used up: {available} available. The kernel will end a process, most likely the model's."),
            _FREE_MEMORY,
        ),
    },
    "host.swap": {
        "off": Meaning("ok", N_("No swap.")),
        "memory": Meaning("ok", N_("Swap only compresses memory (zram); nothing goes to a disk.")),
        "encrypted": Meaning("ok", N_("Swap is encrypted ({devices}).")),
        "refused": Meaning("ok", N_("Swap is refused to the service (MemorySwapMax=0).")),
        "plain": Meaning(
            "warning",
            N_("Swap is not encrypted ({devices}): what was asked may be written to a disk as it is."),
            N_(
                "swapoff -a, and take swap out of /etc/fstab; or encrypt it; or set MemorySwapMax=0 in the "
                "service's unit."
            ),
        ),
        "unreadable": Meaning(
            "unknown",
            N_("Whether there is swap could not be read."),
            N_("Look at cat /proc/swaps as the service's user, and at how /proc is mounted."),
        ),
    },
    "host.disk": {
        "room": Meaning("ok", N_("Room everywhere we write; the least is {free}.")),
        "low": Meaning("warning", N_("A disk that we write to is filling up; the least is {free}."), _FREE_DISK),
        "full": Meaning(
            "critical", N_("A disk that we write to is full or nearly so; the least is {free}."), _FREE_DISK
        ),
        "read_only": Meaning(
            "critical",
            N_("A file system that we write to is read-only."),
            N_("Look at the kernel's log for disk errors (dmesg), repair the disk, and mount it for writing again."),
        ),
        "unreadable": Meaning(
            "unknown",
            N_("A place that we write to cannot be looked at."),
            N_("Run it as the service's user, and see what hinders in the lines below."),
        ),
    },
    "host.inodes": {
        "enough": Meaning("ok", N_("Files can be made everywhere we write; the least is {free} inodes.")),
        "unlimited": Meaning("ok", N_("The file systems that we write to have no fixed number of inodes.")),
        "few": Meaning(
            "warning",
            N_("A file system that we write to has only {free} inodes left."),
            N_("Remove what has made very many small files there (du --inodes -x shows where)."),
        ),
        "none": Meaning(
            "critical",
            N_("A file system that we write to is out of inodes ({free} left): no file can be made, whatever is free."),
            N_("Remove what has made very many small files there (du --inodes -x shows where)."),
        ),
        "unreadable": Meaning(
            "unknown",
            N_("A place that we write to cannot be looked at."),
            N_("Run it as the service's user, and see what hinders in the lines below."),
        ),
    },
    "host.files": {
        "enough_gateway": Meaning("ok", N_("The gateway may open {limit} files; everybody at once needs {need}.")),
        "enough_own": Meaning(
            "ok", N_("A gateway started from here may open {limit} files; everybody at once needs {need}.")
        ),
        "unlimited_gateway": Meaning("ok", N_("The gateway may open any number of files.")),
        "unlimited_own": Meaning("ok", N_("A gateway started from here may open any number of files.")),
        "few_gateway": Meaning(
            "warning",
            N_("The gateway (process {pid}) may open {limit} files only; everybody at once needs {need}."),
            _RAISE_FILES,
        ),
        "few_own": Meaning(
            "warning",
            N_("A gateway started from here may open {limit} files only; everybody at once needs {need}."),
            _RAISE_FILES,
        ),
        "too_few_gateway": Meaning(
            "critical",
            N_(
                "The gateway (process {pid}) may open {limit} files only; the questions of a full queue "
                "alone need {least}."
            ),
            _RAISE_FILES,
        ),
        "too_few_own": Meaning(
            "critical",
            N_(
                "A gateway started from here may open {limit} files only; the questions of a full queue "
                "alone need {least}."
            ),
            _RAISE_FILES,
        ),
        "unreadable": Meaning(
            "unknown",
            N_("How many files the gateway (process {pid}) may open could not be read."),
            N_("Run it as the service's user, or look at /proc/{pid}/limits as root."),
        ),
    },
    "host.system": {
        "tested": Meaning(
            "ok", N_("{system}, kernel {kernel}, glibc {glibc}, Python {python}: this version was tested on it.")
        ),
        "untested": Meaning(
            "warning",
            N_("{system}, kernel {kernel}, glibc {glibc}, Python {python}: this version was not tested on all of it."),
            _NOT_SEEN,
        ),
        "no_glibc": Meaning(
            "critical",
            N_("The C library is not glibc ({system}): torch is not built for it."),
            N_("Use a distribution with glibc {needed} or newer, such as {tested}."),
        ),
        "old_glibc": Meaning(
            "critical",
            N_("glibc {glibc} is too old: torch is built for {needed} and newer."),
            N_("Install a newer release of the distribution; tested: {tested}."),
        ),
        "old_kernel": Meaning(
            "critical",
            N_("Kernel {kernel} is too old: {needed} or newer is needed to know who asks."),
            N_("Install a newer release of the distribution; tested: {tested}."),
        ),
        "old_python": Meaning(
            "critical",
            N_("Python {python} is too old: {needed} or newer is needed."),
            N_("Install with Python {needed} or newer; tested: {tested}."),
        ),
    },
    "host.packages": {
        "tested": Meaning("ok", N_("All {count} packages are of the tested versions (torch {torch}).")),
        "tested_base": Meaning(
            "ok", N_("All {count} packages are of the tested versions; the engine is another program's.")
        ),
        "differs": Meaning("warning", N_("Packages of other versions than the tested ones: {names}."), _INSTALL_AGAIN),
        "cpu_build": Meaning(
            "warning",
            N_("torch {torch} is the build without CUDA: no GPU can be used, and a model of this size answers slowly."),
            N_("Install this version again from its bundle for GPU boxes: it brings torch with CUDA."),
        ),
        "missing": Meaning("critical", N_("Packages are missing: {names}."), _INSTALL_AGAIN),
        "missing_engine": Meaning(
            "critical", N_("Packages are missing, and no model can be loaded without them: {names}."), _INSTALL_AGAIN
        ),
        "no_list": Meaning(
            "unknown",
            N_("The list of tested versions cannot be read ({reason})."),
            N_("Install this version again: a part of it is missing."),
        ),
    },
    "host.clock": {
        "synchronised": Meaning("ok", N_("{now}, kept by a time server.")),
        "unsynchronised": Meaning(
            "ok",
            N_("{now}. No time server is followed, as on a box without a network: compare with a watch now and then."),
        ),
        "sane": Meaning("ok", N_("{now}; whether a time server is followed is not known.")),
        "before_package": Meaning(
            "critical", N_("The clock is wrong: it says {now}, and this program's files are of {then}."), _SET_CLOCK
        ),
        "far_ahead": Meaning(
            "critical",
            N_("The clock cannot be right: it says {now}, and this program's files are of {then}."),
            _SET_CLOCK,
        ),
        "behind_log": Meaning(
            "critical",
            N_("The clock is behind the audit log: it says {now}, and the newest record is of {then}."),
            N_(
                "Compare with a watch. If the clock is wrong, set it (timedatectl set-time). If it is right "
                "now, it was "
                "ahead before: note for the auditors which records have wrong times; this ends at {then}."
            ),
        ),
        "behind_report": Meaning(
            "critical",
            N_("The clock is behind the last health report: it says {now}, and that report is of {then}."),
            N_(
                "Compare with a watch. If the clock is wrong, set it (timedatectl set-time). If it is right "
                "now, it was "
                "ahead before: remove the reports of later times in {path}/runs."
            ),
        ),
    },
}


def _of_process(title: str) -> Callable[[Mapping[str, str]], str]:
    """A line about one of our processes, by its name."""

    def worded(params: Mapping[str, str]) -> str:
        names = [name for name in get_args(ProcessName) if name == params.get("process")]
        return _(title).format(
            process=privacy_words.process_list(names) or "?", devices=clean_line(params.get("devices", ""))
        )

    return worded


ITEMS: dict[str, Words] = {
    "swap_plain_of": Words(worded=_of_process(N_("{process}: swap is not encrypted ({devices})"))),
    "swap_unread_of": Words(worded=_of_process(N_("{process}: swap could not be read"))),
    "disk_short_audit": Words(
        N_("Audit log, {path}: {free} free, {need} should be."),
        N_("No question is answered that cannot be recorded: make room here first."),
    ),
    "disk_short_health": Words(N_("Health reports, {path}: {free} free, {need} should be.")),
    "disk_short_sockets": Words(N_("Sockets, {path}: {free} free, {need} should be.")),
    "disk_room_audit": Words(N_("Audit log, {path}: {free} free.")),
    "disk_room_health": Words(N_("Health reports, {path}: {free} free.")),
    "disk_room_sockets": Words(N_("Sockets, {path}: {free} free.")),
    "disk_read_only": Words(N_("{path} is on a read-only file system.")),
    "disk_unreadable": Words(N_("{path}: {reason}.")),
    "inodes_left": Words(N_("{path}: {free} inodes left.")),
    "inodes_short": Words(N_("{path}: {free} of {total} inodes left.")),
    "untested_system": Words(N_("Distribution: {found}; tested: {tested}.")),
    "untested_kernel": Words(N_("Kernel: {found}; older than {lowest}, which is the oldest that is likely to do.")),
    "untested_python": Words(N_("Python: {found}; tested: {tested}.")),
    "package_differs": Words(N_("{name} {found}; tested: {tested}.")),
    "package_missing": Words(N_("{name} is not installed; tested: {tested}.")),
}
