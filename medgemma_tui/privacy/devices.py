"""The one thing that has to be done before the seal: having the GPU's memory device made.

CUDA needs /dev/nvidia-uvm, and where nobody has made it since the machine was started it has a setuid program make it.
Under no-new-privileges that cannot work any more, and the GPU would seem not to be there.
"""

from __future__ import annotations

import os
import subprocess

_CARD = "/dev/nvidiactl"
_MEMORY = "/dev/nvidia-uvm"
_PROGRAM = "/usr/bin/nvidia-modprobe"
_WITHIN_S = 10.0


def make_ready() -> None:
    """Have it made, where there is a card without it. Never raises: CUDA will say what is missing."""
    if os.path.exists(_MEMORY) or not os.path.exists(_CARD) or not os.path.exists(_PROGRAM):  # noqa: PTH110
        return
    try:
        subprocess.run(
            [_PROGRAM, "-u", "-c", "0"],
            env={},
            timeout=_WITHIN_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return
