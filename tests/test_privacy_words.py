"""Findings in words: every id that the probes and the kernel's view give, in both languages; one that is new."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medgemma_tui import i18n, privacy, privacy_words
from medgemma_tui.protocol import Finding, ProcessPrivacy, ProcessSeal

ROOM = Path(privacy.__file__).parent


@pytest.fixture(autouse=True)
def english():
    yield
    i18n.set_language("en")


def ids() -> set[str]:
    """The ids in the sources of the probes and of the kernel's view."""
    kernel = set(re.findall(r'^        "(\w+)": ', (ROOM / "kernel.py").read_text(), re.M))
    kinds = set(re.findall(r'_Kind\("(\w+)"', (ROOM / "sockets_tried.py").read_text()))
    resolvers = set(re.findall(r'^    "(resolver_\w+)": ', (ROOM / "names_tried.py").read_text(), re.M))
    tried = "".join((ROOM / f"{name}_tried.py").read_text() for name in ("sockets", "calls", "names", "libraries"))
    named = set(re.findall(r'_(?:finding|named|answer)\(\s*"(\w+)"', tried))
    assert min(map(len, (kernel, kinds, resolvers, named))) > 2, "the sources are written otherwise now"
    return kernel | kinds | resolvers | named


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_id_has_words_in_both_languages(lang):
    i18n.set_language(lang)
    for id_ in ids():
        found = privacy_words.Noted((id_,), "", ("screen",))
        assert found.brief != id_, id_
        assert found.reason.endswith("。" if lang == "zh" else "."), found.reason
        if lang == "zh":
            assert re.search("[\u4e00-\u9fff]", found.brief), id_


def test_a_code_adds_what_to_do_and_an_unknown_one_is_told_as_it_is():
    def reason(id_, code):
        return privacy_words.Noted((id_,), code, ("worker",)).reason

    assert "libseccomp2" in reason("seccomp", "no_libseccomp")
    assert "swapoff" in reason("swap", "swap_plain")
    assert "swap_plain" not in reason("swap", "swap_plain")
    assert "nobody knows" in reason("swap", privacy_words.UNKNOWN)
    assert reason("brand_new\x1b[2J", "").startswith("brand_new")
    assert "\x1b" not in reason("brand_new\x1b[2J", "odd\x9bcode")


def test_the_same_thing_in_several_processes_is_told_once():
    seals = {
        "screen": ProcessSeal(open=["seccomp", "tcp", "udp"], codes={"seccomp": "not_sealed"}),
        "gateway": ProcessSeal(open=["seccomp", "tcp", "udp"], codes={"seccomp": "no_libseccomp"}, warnings=["swap"]),
        "worker": ProcessSeal(absent=["network_namespace"]),
    }
    found = privacy_words.noted(seals, "open")
    assert [(each.ids, each.code, each.processes) for each in found] == [
        (("seccomp",), "not_sealed", ("screen",)),
        (("tcp", "udp"), "", ("screen", "gateway")),
        (("seccomp",), "no_libseccomp", ("gateway",)),
    ]
    assert "(tcp, udp)" in found[1].reason
    assert [each.where for each in privacy_words.noted(seals, "warnings")] == ["gateway"]


def test_what_the_kernel_says_of_the_seal_comes_first():
    findings = [
        Finding(id="tcp", kind="probe", tried="", said="", verdict="open"),
        Finding(id="seccomp", kind="kernel", tried="", said="", verdict="open"),
        Finding(id="swap", kind="kernel", tried="", said="", verdict="unknown"),
    ]
    report = [ProcessPrivacy(process="gateway", pid=1, findings=findings)]
    assert [each.ids for each in privacy_words.noted_in(report, "open")] == [("seccomp",), ("tcp",)]
    assert privacy_words.noted_in(report, "unknown")[0].code == privacy_words.UNKNOWN
