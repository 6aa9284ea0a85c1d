"""The kernel's view of a process, and what is made of it."""

from __future__ import annotations

import os

import pytest

from medgemma_tui.privacy import kernel, swap
from medgemma_tui.protocol import Finding

VIEW = """
from medgemma_tui.privacy import kernel
tell({finding.id: [finding.said, finding.verdict, finding.code] for finding in kernel.view(PROCESS)})
"""


def test_a_sealed_worker_is_shut(child):
    view = child(VIEW.replace("PROCESS", "'worker'"), "worker", env={"HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"]})
    swapped = view.pop("swap")
    assert swapped[1] in ("shut", "warning")
    loose = {name: one for name, one in view.items() if one[1] != "shut"}
    assert set(loose) <= {"network_namespace", "routes"}  # where no namespace is to be had, the filter holds
    assert all(one[1] == "absent" for one in loose.values())
    assert view["seccomp"][0].startswith("2")
    assert (view["no_new_privs"][0], view["dumpable"][0], view["core_limit"][0]) == ("1", "0", "0, 0")
    assert view["open_sockets"][0] == "0"


def test_a_socket_from_before_the_seal_is_seen(child):
    code = f"kept = socket.socket(socket.AF_INET)\nfrom medgemma_tui.privacy.seal import seal\nseal('screen')\n{VIEW}"
    assert child(code.replace("PROCESS", "'screen'"))["open_sockets"] == ["1", "open", ""]


def test_a_filter_of_somebody_else_is_no_proof(child):
    """A container's own is mode 2 as well."""
    code = (
        "from medgemma_tui.privacy import system_calls\n"
        "pyseccomp = system_calls._pyseccomp()\n"
        "rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)\nrules.load()\n" + VIEW
    )
    assert child(code.replace("PROCESS", "'screen'"))["seccomp"][1:] == ["open", "not_sealed"]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "none"),
        ({"TEXTUAL_FPS": "60", "PATH": "/bin"}, "none"),
        ({"https_proxy": "http://secret:word@proxy"}, "https_proxy"),
        ({"TEXTUAL_LOG": "/tmp/secret", "LD_PRELOAD": "secret.so"}, "LD_PRELOAD, TEXTUAL_LOG"),
        ({"PYTHONPATH": "secret", "ALL_PROXY": "secret"}, "ALL_PROXY, PYTHONPATH"),
    ],
)
def test_variables_are_named_and_never_quoted(variables, named):
    finding = kernel._environment("screen", variables)
    assert finding.said == named
    assert finding.verdict == ("shut" if named == "none" else "warning")
    assert "secret" not in finding.model_dump_json()


def test_a_worker_must_be_offline():
    assert kernel._environment("worker", {}).said == "HF_HUB_OFFLINE"
    assert kernel._environment("worker", {"HF_HUB_OFFLINE": "1"}).verdict == "shut"


def test_what_cannot_be_read_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel, "_STATUS", tmp_path / "nothing")
    found = {finding.id: finding for finding in kernel.view("screen")}
    assert found["seccomp"].verdict == "unknown"
    assert "seccomp" in kernel.short(list(found.values())).warnings


def test_the_short_form():
    def finding(name, verdict, code=""):
        return Finding(id=name, kind="kernel", tried="", said="", verdict=verdict, code=code)

    findings = [
        finding("a", "shut", "fine"), finding("b", "open"), finding("c", "warning", "swap_plain"),
        finding("d", "absent"), finding("e", "unknown"),
    ]  # fmt: skip
    short = kernel.short(findings)
    assert (short.open, short.warnings, short.absent) == (["b"], ["c", "e"], ["d"])
    assert short.codes == {"c": "swap_plain", "e": "unknown"}
    assert short.inet_sockets is not None


# --- swap ---


@pytest.fixture
def blocks(monkeypatch, tmp_path):
    """A made-up /sys/dev/block; ``make(path, uuid, *below)`` adds a device that the path's number leads to."""
    monkeypatch.setattr(swap, "_BLOCK", tmp_path)

    def make(path: str, uuid: str = "", below: dict[str, str] | None = None) -> None:
        status = os.stat(path)
        number = status.st_rdev or status.st_dev
        place = tmp_path / f"{os.major(number)}:{os.minor(number)}"
        (place / "dm").mkdir(parents=True)
        (place / "dm" / "uuid").write_text(uuid)
        for name, its in (below or {}).items():
            (place / "slaves" / name / "dm").mkdir(parents=True)
            (place / "slaves" / name / "dm" / "uuid").write_text(its)

    return make


def test_swap_on_an_encrypted_device_is_shut(blocks):
    blocks("/dev/null", "CRYPT-LUKS2-abc")
    assert swap._kind(swap.Path("/dev/null")) == "encrypted"


def test_swap_on_a_volume_is_what_it_stands_on(blocks):
    blocks("/dev/null", "LVM-abc", {"dm-0": "CRYPT-LUKS2-abc"})
    blocks("/dev/zero", "LVM-abc", {"dm-0": "CRYPT-LUKS2-abc", "sda": ""})
    assert swap._kind(swap.Path("/dev/null")) == "encrypted"
    assert swap._kind(swap.Path("/dev/zero")) == "plain"


def test_a_swap_file_is_what_its_file_system_is(blocks, tmp_path):
    (tmp_path / "swapfile").touch()
    assert swap._kind(tmp_path / "swapfile") == "plain"
    blocks(str(tmp_path / "swapfile"), "CRYPT-PLAIN-abc")
    assert swap._kind(tmp_path / "swapfile") == "encrypted"


def test_a_swap_device_that_is_not_there_is_plain(blocks):
    assert swap._kind(swap.Path("/dev/no-such-device")) == "plain"


def test_compressed_memory_is_no_disk():
    assert swap._kind(swap.Path("/dev/zram-of-no-machine")) == "memory"


@pytest.mark.parametrize(
    ("limits", "refused"),
    [({}, False), ({"a/b": "max"}, False), ({"a/b": "0"}, True), ({"a": "0", "a/b": "max"}, True)],
)
def test_a_control_group_without_swap_counts(tmp_path, limits, refused):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for place, limit in limits.items():
        (tmp_path / place / "memory.swap.max").write_text(limit + "\n")
    assert swap._refused("0::/a/b\n", tmp_path) is refused
    assert swap._refused("1:name=x:/a/b\n", tmp_path) is False


def test_a_table_of_swaps_is_read(monkeypatch, tmp_path):
    tables = {
        "/proc/swaps": "Filename Type Size Used Priority\n/dev/sda\\0402 partition 1 0 -2\n",
        "/proc/self/cgroup": "0::/\n",
    }
    real = swap.Path.read_text
    monkeypatch.setattr(swap.Path, "read_text", lambda path, *more: tables.get(str(path)) or real(path, *more))
    assert swap.state() == ("swap_plain", ["/dev/sda 2"])
    finding = kernel._swap()
    assert (finding.verdict, finding.code, finding.said) == ("warning", "swap_plain", "/dev/sda 2")
    tables["/proc/swaps"] = "Filename Type Size Used Priority\n"
    assert kernel._swap().verdict == "shut"
