"""gpu.driver and gpu.present: what NVML says when there is nothing to see, and the driver against PyTorch's CUDA."""

from __future__ import annotations

import pytest

from medgemma_tui.health.checks.gpu import cuda

NVML = [
    # init's error, code, English, Chinese, advice
    ("9", "driver_not_loaded", "driver not loaded", "驱动未加载", "modprobe nvidia"),
    ("4", "no_permission", "no permission", "没有读取 GPU 的权限", "DeviceAllow"),
    ("18", "version_mismatch", "versions differ", "版本不一致", "Restart the box"),
    ("15", "gpu_lost", "fell off the bus", "已脱离总线", "Restart the box"),
    ("16", "reset_required", "needs a reset", "需要复位", "Restart the box"),
    ("10", "nvml_timeout", "does not answer", "没有应答", "nvidia-smi answers"),
    ("999", "nvml_error", "cannot be used", "无法使用", "nvidia-smi"),
]


@pytest.mark.parametrize(("error", "code", "english", "chinese", "advice"), NVML)
def test_each_error_of_nvml_has_its_own_words_and_advice(box, error, code, english, chinese, advice):
    box.stub.set("healthy", init=f"!{error}")
    found = box.check("gpu.driver")
    assert (found.status, found.code) == ("critical", code)
    assert english in found.en["text"]
    assert chinese in found.zh["text"]
    assert advice in found.en["advice"]
    assert found.zh["advice"] != found.en["advice"]
    box.settings = {"demo": True}
    found = box.check("gpu.driver")
    assert (found.status, found.code) == ("warning", f"{code}_demo")
    assert english in found.en["text"]


def test_without_a_driver_the_demo_is_warned_and_the_installed_box_is_not_fit(box):
    box.stub.set("no_library")
    box.start()
    try:
        results = box.all()
        found = results.pop("gpu.driver")
        assert (found.status, found.code) == ("critical", "library_not_found")
        assert found.en["items"] == ["The PCI bus has no NVIDIA card."]
        assert {(result.status, result.code) for result in results.values()} == {("skipped", "no_card")}
        box.settings = {"demo": True}
        found = box.check("gpu.driver")
        assert (found.status, found.code) == ("warning", "library_not_found_demo")
        assert "Install the NVIDIA driver" in found.en["advice"]
        assert "安装 NVIDIA 驱动" in found.zh["advice"]
    finally:
        box.stop()


def test_a_card_on_the_bus_without_a_driver_is_named(box):
    for address, vendor, kind in (
        ("0000:65:00.0", "0x10de", "0x030200"),
        ("0000:65:00.1", "0x10de", "0x040300"),  # its sound device
        ("0000:00:02.0", "0x8086", "0x030000"),
    ):
        device = box.folder / "bus" / address
        device.mkdir()
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    (box.folder / "bus" / "odd").mkdir()
    try:
        box.stub.set("no_driver")
        (line,) = box.check("gpu.driver").en["items"]
        assert "has an NVIDIA card at 0000:65:00.0" in line
    finally:
        for device in (box.folder / "bus").iterdir():
            for file in device.iterdir():
                file.unlink()
            device.rmdir()


@pytest.mark.parametrize("scenario", ["no_driver", "no_permission"])
def test_what_cannot_be_asked_is_skipped_and_never_ok(box, scenario):
    box.stub.set(scenario)
    results = box.all()
    del results["gpu.driver"], results["gpu.xid"]
    code = "no_card" if scenario == "no_driver" else "no_answer"
    assert {(result.status, result.code) for result in results.values()} == {("skipped", code)}


def test_no_card_in_the_box(box):
    box.stub.set("no_device")
    results = box.all()
    assert results["gpu.driver"].status == "ok"  # the driver is there
    found = results["gpu.present"]
    assert (found.status, found.code) == ("critical", "no_device")
    assert "lspci -d 10de:" in found.en["advice"]
    assert "本机没有 GPU" in found.zh["text"]
    assert results["gpu.memory"].code == "no_card"
    box.settings = {"demo": True}
    found = box.check("gpu.present")
    assert (found.status, found.code) == ("warning", "no_device_demo")


@pytest.mark.parametrize(
    ("scenario", "lines", "code", "english", "chinese", "advice"),
    [
        ("lost", {}, "lost", "GPU 1 is lost: it fell off the bus. 1 of 2", "已脱离总线", "Restart the box"),
        ("two_gpus", {"_1__power": "!16"}, "reset_required", "A10) needs a reset", "需要复位", "-reset -i 1"),
        ("two_gpus", {"_1__handle": "!4"}, "no_permission", "GPU 1 may not be read", "无权读取", "/dev/nvidia*"),
        ("two_gpus", {"_1__handle": "!999"}, "card_error", "GPU 1 does not answer", "没有应答", "nvidia-smi -q -i 1"),
    ],
)  # fmt: skip
def test_a_card_that_is_gone_is_told_and_the_other_is_judged(box, scenario, lines, code, english, chinese, advice):
    box.stub.set(scenario, **lines)
    results = box.all()
    found = results["gpu.present"]
    assert (found.status, found.code) == ("critical", code)
    assert english in found.en["text"]
    assert chinese in found.zh["text"]
    assert advice in found.en["advice"]
    assert "GPU 0 (NVIDIA L4)" in results["gpu.temperature"].en["text"]
    assert results["gpu.temperature"].status == "ok"
    assert found.figures[0]["value"] == 1


def test_a_lone_card_that_is_lost_leaves_nothing_to_judge(box):
    box.stub.set("healthy", _0__lost="1")
    results = box.all()
    assert results["gpu.present"].code == "lost"
    assert results["gpu.temperature"].code == "no_answer"
    assert results["gpu.memory"].status == "skipped"


DRIVERS = [
    # PyTorch, driver, status, code, English, advice
    ("cuda13", "580.65.06", "ok", "ok", "needs 580.65.06 or newer", ""),
    ("cuda13", "580.65.05", "critical", "too_old", "Driver 580.65.05 is too old", "Install driver 580.65.06 or newer"),
    ("cuda13", "575.57.08", "critical", "too_old", "CUDA 13.0", "Install driver 580.65.06"),
    ("cuda12", "525.60.13", "ok", "ok", "CUDA 12.6", ""),
    ("cuda12", "525.60.9", "critical", "too_old", "too old", "525.60.13"),
    ("cuda12", "1000.1", "ok", "ok", "Driver 1000.1", ""),
    ("cuda99", "580.65.06", "warning", "unknown_cuda", "CUDA 99.1", "CUDA release notes"),
    ("cpu", "580.65.06", "critical", "cpu_torch", "built without CUDA", "CUDA build"),
    ("broken", "580.65.06", "warning", "no_torch", "not installed", "pip install"),
    ("cuda13", "next-open", "unknown", "odd_version", "next-open", "/proc/driver/nvidia/version"),
    ("cuda13", "!3", "unknown", "no_version", "does not tell its version", "/proc/driver/nvidia/version"),
]


@pytest.mark.parametrize(("torch", "driver", "status", "code", "english", "advice"), DRIVERS)
def test_the_driver_is_compared_with_what_pytorchs_cuda_needs(box, torch, driver, status, code, english, advice):
    box.torch = torch
    box.stub.set("healthy", driver=driver)
    found = box.check("gpu.driver")
    assert (found.status, found.code) == (status, code)
    assert english in found.en["text"]
    assert advice in found.en["advice"]
    assert found.zh["text"] != found.en["text"]
    if advice:
        assert found.zh["advice"] != found.en["advice"]
    if status == "critical":
        box.settings = {"demo": True}
        assert (box.check("gpu.driver").status, box.check("gpu.driver").code) == ("warning", f"{code}_demo")


def test_a_cpu_pytorch_without_a_card_is_no_fault_of_the_driver(box):
    box.torch = "cpu"
    box.stub.set("no_device")
    assert (box.check("gpu.driver").status, box.check("gpu.driver").code) == ("ok", "no_need")


def test_another_engine_has_its_own_needs(box):
    box.torch = "cpu"
    box.settings = {"engine_socket": "/run/vllm.sock"}
    results = box.all()
    assert results["gpu.driver"].code == "engine"
    assert results["gpu.memory"].code == results["gpu.capability"].code == "another_engine"
    assert results["gpu.memory"].status == "skipped"
    assert results["gpu.holders"].code == "others"


def test_the_table_is_complete_and_the_longest_series_counts():
    table = cuda.table()
    assert table.source
    assert table.reviewer
    assert cuda.needs_of("12.8").capability == "7.0"
    assert cuda.needs_of("12.6").capability == "6.0"
    assert cuda.needs_of("13.2").driver == "580.65.06"
    assert cuda.needs_of("11.8") is None
    assert cuda.needs_of("130.1") is None
    for row in table.cuda:
        assert cuda.number_of(row.driver) > (500,)
        assert cuda.number_of(row.capability)


def test_the_installed_pytorch_is_read_without_importing_it():
    found = cuda.installed()
    assert found is not None
    assert found.cuda is None or cuda.number_of(found.cuda)
