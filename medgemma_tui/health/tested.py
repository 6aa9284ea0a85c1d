"""What this version was tested on (``data/tested.toml``), and the exact versions of its packages (the constraints)."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

_DATA: Final = Path(__file__).with_name("data")
_PACKAGED: Final = _DATA / "constraints.txt"
_CHECKOUT: Final = Path(__file__).parents[2] / "provisioning" / "constraints.txt"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class System(_Strict):
    """A distribution by its ``ID`` and ``VERSION_ID`` in /etc/os-release."""

    id: str
    version: str
    name: str


class Versions(_Strict):
    """Versions that were run, the lowest that can work, and the lowest that is likely to."""

    tested: list[str]
    lowest: str
    warn_below: str = "0"


class Packages(_Strict):
    """Names of packages: those that the engine needs, and those that everything needs."""

    engine: list[str]
    base: list[str]


class Tested(_Strict):
    """The whole file."""

    system: list[System]
    python: Versions
    kernel: Versions
    glibc: Versions
    packages: Packages


@functools.cache
def tested() -> Tested:
    """The tested set that comes with this version."""
    return Tested.model_validate(tomllib.loads((_DATA / "tested.toml").read_text(encoding="utf-8")))


def constraints() -> dict[str, str]:
    """The tested version of each package, by its plain name: of an installed package, or of a checkout.

    Raises OSError.
    """
    path = _PACKAGED if _PACKAGED.is_file() else _CHECKOUT
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, same, version = line.partition("#")[0].strip().partition("==")
        if same:
            found[plain(name)] = version.strip()
    return found


def plain(name: str) -> str:
    """A package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def number(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: ``6.18.44-fc`` is 6, 18, 44."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def is_tested(version: str, versions: Versions) -> bool:
    """Whether a version is one of those that were run, or a patch of one."""
    return any(number(version)[: len(number(each))] == number(each) for each in versions.tested)
