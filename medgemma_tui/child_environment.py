"""Which environment variables a process of ours hands on, and which ones it keeps itself. Imports nothing: it is read
before anything else is."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = frozenset({"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX"})
_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "MKL_", "OMP_", "KMP_", "OPENBLAS_", "PYTORCH_", "BNB_")
_NEVER = ("CUDA_INJECTION", "OMP_TOOL", "NCCL_DEBUG_FILE")
"""Beginnings of names that load code of somebody else's into the process, or have it write a file."""
_NEVER_WITHIN = ("COREDUMP", "_PLUGIN")
"""The same, anywhere in a name: a GPU's core dump holds what the GPU's memory held."""

_OWN_NAMES = frozenset(
    {
        # who and where
        "HOME", "USER", "LOGNAME", "SHELL", "VIRTUAL_ENV", "LANGUAGE",
        # the terminal
        "TERM", "COLORTERM", "TERM_PROGRAM", "LC_TERMINAL", "NO_COLOR", "ACCESSIBLE", "COLUMNS", "LINES", "ESCDELAY",
        "TMUX", "STY", "SSH_TTY",
        # the service manager's
        "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID",
        "INVOCATION_ID", "JOURNAL_STREAM", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LOGS_DIRECTORY",
        "CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY",
        # our own switches, which close something
        "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK",
    }
)  # fmt: skip
_OWN_PREFIXES = ("LC_", "XDG_", "MEDGEMMA_")


def handed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``environ`` that a child process gets to see: what finding libraries and devices needs."""
    return {name: value for name, value in environ.items() if _is_handed_on(name)}


def kept(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``environ`` that a front end or gateway itself runs with.

    Not among them: what makes the loader, Python or CUDA run other code (LD_PRELOAD, PYTHON…, CUDA_INJECTION…), what
    makes Textual write or listen, a GPU's core dumps, proxies, agents and tokens.
    """
    return {name: value for name, value in environ.items() if is_kept(name)}


def is_kept(name: str) -> bool:
    """Whether ``kept`` keeps it."""
    return name in _OWN_NAMES or name.startswith(_OWN_PREFIXES) or _is_handed_on(name)


def _is_handed_on(name: str) -> bool:
    if name.startswith(_NEVER) or any(part in name for part in _NEVER_WITHIN):
        return False
    return name in _NAMES or name.startswith(_PREFIXES)
