"""The kernel's log and gpu.xid: records as /dev/kmsg and journalctl give them, and what each event asks for."""

from __future__ import annotations

import json
import os
import time

import pytest

from medgemma_tui.health import kernel_log, meanings, xid

HOUR = 3600.0


def kmsg(*messages: tuple[float, str], facility: int = 0, first: int = 0, dictionary: bool = False) -> str:
    """The ring buffer: a record per message, written so many seconds ago. ``first``: its oldest record's number."""
    now = time.monotonic()
    lines = [f"6,{first},1,-;Linux version 6.1"] if first == 0 else []
    for number, (ago, message) in enumerate(messages, start=first + (first == 0)):
        lines.append(f"{facility * 8 + 4},{number},{int((now - ago) * 1e6)},-;{message}")
        if dictionary:
            lines += [" SUBSYSTEM=pci", " DEVICE=+pci:0000:65:00.0"]
    return "\n".join(lines) + "\n"


def xid_line(code: int, address: str = "PCI:0000:65:00") -> str:
    return f"NVRM: Xid ({address}): {code}, pid=1234, name=python3, something happened."


@pytest.mark.parametrize("code", [46, 48, 62, 64, 79, 95, 119])
def test_a_fault_of_the_card_is_critical_with_its_meaning_and_action(box, code):
    box.kmsg(kmsg((60, xid_line(code)), (30, xid_line(code)), dictionary=True))
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("critical", "hardware")
    assert f"Xid {code} on GPU 0 (0000:65:00)" in found.en["text"]
    assert f"Xid {code}" in found.zh["text"]
    meaning, action = found.en["items"]
    assert f"Xid {code}, GPU 0 (0000:65:00), 20" in meaning
    assert ", 2 times: " in meaning
    assert "，2 次：" in found.zh["items"][0]
    assert "estart the box" in action or "Switch the box off" in action
    assert found.figures[0]["value"] == 2
    assert "python3" not in str(vars(found))


def test_a_program_that_failed_is_a_warning(box):
    box.kmsg(kmsg((60, xid_line(31)), (59, xid_line(43)), (58, xid_line(45))))
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("warning", "application")
    assert "Xid 31" in found.en["text"]
    assert any("systemctl restart medgemma" in line for line in found.en["items"])


def test_the_worst_event_decides_not_the_last(box):
    box.kmsg(kmsg((HOUR, xid_line(79)), (60, xid_line(13))))
    assert "Xid 79" in box.check("gpu.xid").en["text"]


def test_what_asks_for_nothing_is_no_fault(box):
    box.kmsg(kmsg((60, xid_line(63)), (50, xid_line(45))))
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("ok", "noted")
    assert len(found.items) == 2


def test_what_is_older_than_a_day(box):
    """The kernel's clock begins at boot, so an old event needs an old boot: the messages come from the journal."""
    now = time.time()
    journal(box, [(now - 30 * HOUR, "Linux version 6.1"), (now - 26 * HOUR, xid_line(79))])
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("warning", "hardware_old")
    assert "more than a day ago" in found.en["text"]
    assert "restart of the box clears this" in found.en["advice"]
    journal(box, [(now - 30 * HOUR, "Linux version 6.1"), (now - 26 * HOUR, xid_line(31))])
    assert box.check("gpu.xid").code == "noted"


def test_what_the_driver_asks_for_to_recover_is_told_until_it_is_done(box):
    asks = "NVRM: Xid (PCI:0000:65:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"
    done = "NVRM: Xid (PCI:0000:65:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"
    box.kmsg(kmsg((60, asks)))
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("critical", "hardware")
    assert "asks for: GPU Reset Required." in found.en["items"][0]
    assert "GPU Reset Required" in found.zh["items"][0]
    box.kmsg(kmsg((60, asks), (30, done)))
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("ok", "noted")
    box.kmsg(kmsg((60, done), (30, xid_line(154))))
    assert box.check("gpu.xid").code == "hardware"


def test_a_code_that_is_not_in_the_table_is_told_by_its_number(box):
    box.kmsg(kmsg((60, xid_line(999))))
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("warning", "other")
    assert "Xid 999" in found.en["text"]
    assert "catalogue" in found.en["advice"]


def test_an_event_on_an_unknown_card_is_told_by_its_address(box):
    box.kmsg(kmsg((60, xid_line(79, "PCI:0000:AF:00.0"))))
    assert "Xid 79 on 0000:af:00 at" in box.check("gpu.xid").en["text"]


def test_a_card_that_vanished_is_explained_by_the_log(box):
    """NVML finds nothing any more: the event that says why is not passed over."""
    box.stub.set("no_device")
    box.kmsg(kmsg((60, xid_line(79))))
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("critical", "hardware")
    box.kmsg(kmsg())
    assert box.check("gpu.xid").code == "no_card"


def test_what_others_write_to_the_log_does_not_count(box):
    box.kmsg(kmsg((60, xid_line(79)), facility=1))
    assert box.check("gpu.xid").code == "ok"


def test_a_log_that_lost_its_start_is_not_called_quiet(box):
    box.kmsg(kmsg((60, "usb 1-1: new device"), first=5000))
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("warning", "partial")
    assert "is lost" in found.en["text"]
    assert "/var/log/journal" in found.en["advice"]
    assert "已丢失" in found.zh["text"]


def test_where_the_ring_lost_its_start_the_journal_is_asked(box):
    now = time.time()
    journal(box, [(now - 40 * HOUR, "Linux version 6.1"), (now - 2 * HOUR, xid_line(48))], ring=True)
    found = box.check("gpu.xid")
    assert (found.code, found.params["code"]) == ("hardware", "48")


def journal(box, entries: list[tuple[float, object]], ring: bool = False, error: str = "", code: int = 0) -> None:
    """A journalctl on the PATH that shows these; /dev/kmsg cannot be read, or with ``ring`` lost its start."""
    if ring:
        box.kmsg(kmsg((60, "usb 1-1: new device"), first=5000))
    else:
        (box.folder / "kmsg").unlink(missing_ok=True)
    shown = [json.dumps({"__REALTIME_TIMESTAMP": str(int(at * 1e6)), "MESSAGE": message}) for at, message in entries]
    folder = box.folder / "journal"
    folder.mkdir(exist_ok=True)
    (folder / "shown").write_text("\n".join(shown))
    program = folder / "journalctl"
    program.write_text(f"#!/bin/sh\n/bin/cat '{folder}/shown'\necho '{error}' >&2\nexit {code}\n")
    program.chmod(0o755)
    box.path = str(folder)


def test_the_journal_is_read_where_the_device_is_not_open(box):
    now = time.time()
    line = list(xid_line(94).encode() + b"\xff")  # bytes that are not UTF-8 come as numbers
    journal(box, [(now - 9 * HOUR, "Linux version 6.1"), (now - HOUR, line), (now, None)])
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("warning", "application")
    assert "Xid 94" in found.en["text"]


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [("", 0, "shows no kernel messages"), ("insufficient permissions", 1, "no permission"), ("broken", 1, "shows no")],
)
def test_a_journal_that_shows_nothing_is_no_quiet_journal(box, error, code, reason):
    journal(box, [], error=error, code=code)
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("warning", "unreadable")
    assert reason in found.en["text"]
    assert "/dev/kmsg: No such file" in found.en["text"]
    assert "systemd-journal" in found.en["advice"]
    assert "sudo dmesg | grep Xid" in found.zh["advice"]


def test_without_permission_for_the_device_and_without_a_journal(box):
    """A real refusal: the check runs as nobody, and the file is root's."""
    if os.geteuid() != 0:
        pytest.skip("only root can run the check as another user")
    box.kmsg(kmsg((60, xid_line(79)))).chmod(0o600)
    for folder in (box.folder, *box.folder.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)  # pytest's own are closed to others
    box.uid = 65534
    found = box.check("gpu.xid")
    assert (found.status, found.code) == ("warning", "unreadable")
    assert "/dev/kmsg: Permission denied" in found.en["text"]


def test_this_machines_own_log():
    try:
        log = kernel_log.read()
    except kernel_log.NotReadable as error:
        pytest.skip(f"this user may not read the kernel's log: {error}")
    assert log.records
    assert sorted(log.records, key=lambda record: record.at)[-1].at <= time.time() + 5
    assert (log.since or 0) > time.time() - time.monotonic() - 60


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("NVRM: Xid (PCI:0000:65:00): 79, GPU has fallen off the bus.", ("0000:65:00", 79)),
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", ("0000:03:00", 14)),
        ("NVRM: Xid (PCI:00000001:0A:00.0): 31, pid=1", ("0001:0a:00", 31)),
        ("[  12.3] NVRM: Xid (PCI:0000:65:00): 119, pid=<unknown>", ("0000:65:00", 119)),
        ("NVRM: GPU at PCI:0000:65:00: GPU-b850f46d", None),
        ("nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 20034, Fatal", None),
        ("NVRM: Xid (PCI:0000:65:00): seventy-nine", None),
        ("somebody says Xid 79", None),
        ("", None),
    ],
)
def test_both_forms_of_the_line_and_nothing_else(line, found):
    events = xid.events([kernel_log.Record(5.0, line)])
    assert [(event.address, event.code) for event in events] == ([found] if found else [])


def test_a_record_is_decoded_as_the_kernel_writes_it(tmp_path):
    path = tmp_path / "kmsg"
    path.write_text(
        "6,17,2000000,-;first\n SUBSYSTEM=x\n30,18,3000000,-;from a daemon\nnonsense\n4,19,4000000,c;a\\x09b \\xe4\n"
    )
    log = kernel_log.from_kmsg(path)
    assert [record.message for record in log.records] == ["first", "a\tb \xe4"]
    assert not log.complete
    assert log.records[1].at - log.records[0].at == pytest.approx(2.0)


def test_the_table_is_complete():
    table = xid.table()
    assert table.source
    assert table.reviewer
    codes = [entry.code for entry in table.xid]
    assert codes == sorted(set(codes))
    words = {code for code in meanings.ITEMS if code.startswith("xid_")} - {"xid_other"}
    assert words == {f"xid_{code}" for code in codes}
    for code in words:
        assert meanings.ITEMS[code].advice
    assert {entry.kind for entry in table.xid} == {"application", "hardware", "follow", "note"}
