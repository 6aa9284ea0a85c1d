"""System and packages against the tested set."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import metadata

import pytest

from medgemma_tui.health import tested as known
from medgemma_tui.health import wording
from medgemma_tui.health.checks.host import packages, system
from medgemma_tui.health.run import result_of
from medgemma_tui.health.tested import constraints, plain
from tests.health.chinese import in_chinese
from tests.health.looking import context, look

BOX = system.Box("debian", "12", "Debian GNU/Linux 12 (bookworm)", "6.18.44-fc", "2.36", "3.11.7")


def judged(**changes: str):
    result = result_of("host.system", system.judge(replace(BOX, **changes), known.tested()))
    in_chinese(result)
    assert wording.advice(result) or result.status == "ok"
    return result


def test_the_tested_system():
    result = judged()
    assert (result.code, result.status) == ("tested", "ok")
    assert "Debian GNU/Linux 12 (bookworm), kernel 6.18.44-fc, glibc 2.36, Python 3.11.7" in wording.text(result)


@pytest.mark.parametrize(
    ("changes", "items"),
    [
        ({"id": "ubuntu", "version": "24.04", "name": "Ubuntu 24.04.1 LTS"}, ["untested_system"]),
        ({"version": "13", "name": "Debian 13"}, ["untested_system"]),
        ({"kernel": "5.4.0-1"}, ["untested_kernel"]),
        ({"python": "3.13.1"}, ["untested_python"]),
        ({"id": "rocky", "version": "9.4", "kernel": "4.18.0", "python": "3.12.1"},
         ["untested_system", "untested_kernel", "untested_python"]),
    ],
)  # fmt: skip
def test_another_one_is_a_warning_that_says_so(changes, items):
    result = judged(**changes)
    assert (result.code, result.status) == ("untested", "warning")
    assert [item.code for item in result.items] == items
    assert "was not tested" in wording.text(result)
    assert "Nothing need be wrong" in wording.advice(result)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"glibc": "2.27"}, "old_glibc", "torch is built for 2.28 and newer"),
        ({"glibc": ""}, "no_glibc", "torch is not built for it"),
        ({"kernel": "3.10.0"}, "old_kernel", "4.13 or newer"),
        ({"python": "3.10.12"}, "old_python", "3.11 or newer"),
    ],
)
def test_too_old(changes, code, said):
    result = judged(**changes)
    assert (result.code, result.status) == (code, "critical")
    assert said in wording.text(result)
    assert "Debian 12" in wording.advice(result)


def test_this_box_says_what_it_is(tmp_path):
    release = tmp_path / "os-release"
    release.write_text('PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nVERSION_ID="24.04"\n')
    box = system.read((tmp_path / "none", release))
    assert (box.id, box.version, box.name) == ("ubuntu", "24.04", "Ubuntu 24.04.1 LTS")
    assert box.python == ".".join(map(str, sys.version_info[:3]))
    assert system.read((tmp_path / "none",)).id == ""


# --- packages ---


def test_every_package_that_matters_has_a_tested_version():
    names = known.tested().packages
    assert set(map(plain, names.engine + names.base)) <= set(constraints())


def test_what_the_constraints_installed(tmp_path):
    """This suite's own environment is made by them."""
    seen = look(packages.CHECK, context(tmp_path, phase="preflight", demo=True))
    assert seen.told == ("tested", "ok"), seen.lines
    assert f"torch {metadata.version('torch')}" in seen.text
    other = look(packages.CHECK, context(tmp_path, phase="preflight", engine_socket=tmp_path / "engine"))
    assert other.told == ("tested_base", "ok")


def install(place, name: str, version: str) -> None:
    """As pip writes it down."""
    info = place / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_another_version(tmp_path, monkeypatch):
    install(tmp_path / "site", "tokenizers", "0.1.0")
    install(tmp_path / "site", "torch", "2.12.1+cu130")
    monkeypatch.syspath_prepend(tmp_path / "site")
    seen = look(packages.CHECK, context(tmp_path, phase="preflight", demo=True))
    assert seen.told == ("differs", "warning")
    assert seen.lines == (
        f"torch 2.12.1+cu130; tested: {constraints()['torch']}.",
        f"tokenizers 0.1.0; tested: {constraints()['tokenizers']}.",
    )
    assert "from its bundle" in seen.advice
    in_chinese(seen.result)


def test_the_builds_name_is_no_other_version(tmp_path, monkeypatch):
    install(tmp_path / "site", "torch", f"{constraints()['torch']}+cu130")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert look(packages.CHECK, context(tmp_path, phase="preflight", demo=True)).told == ("tested", "ok")
    assert look(packages.CHECK, context(tmp_path, phase="preflight", model=tmp_path)).told == ("tested", "ok")


def test_a_torch_that_knows_no_gpu(tmp_path, monkeypatch):
    install(tmp_path / "site", "torch", f"{constraints()['torch']}+cpu")
    monkeypatch.syspath_prepend(tmp_path / "site")
    seen = look(packages.CHECK, context(tmp_path, phase="preflight", model=tmp_path))
    assert seen.told == ("cpu_build", "warning")
    assert "bundle for GPU boxes" in seen.advice
    in_chinese(seen.result)


@pytest.mark.parametrize(("left_out", "code"), [(("torch", "bitsandbytes"), "missing_engine"), (("httpx",), "missing")])
def test_a_missing_one(tmp_path, monkeypatch, left_out, code):
    """Where nothing else is installed than what is put there."""
    names = known.tested().packages
    for name in names.engine + names.base:
        if name not in left_out:
            install(tmp_path / "site", name.replace("-", "_"), constraints()[plain(name)])
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    seen = look(packages.CHECK, context(tmp_path, phase="preflight", demo=True))
    assert seen.told == (code, "critical")
    assert seen.text.endswith(", ".join(left_out) + ".")
    assert seen.lines[0] == f"{left_out[0]} is not installed; tested: {constraints()[plain(left_out[0])]}."
    in_chinese(seen.result)


def test_no_list(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "constraints", lambda: (tmp_path / "none").read_text())
    assert look(packages.CHECK, context(tmp_path, phase="preflight", demo=True)).told == ("no_list", "unknown")
