"""Every check of a card, driven to each of its outcomes by what NVML says: status, words in both languages, advice."""

from __future__ import annotations

import threading

import pytest

CARD = "GPU 0 (NVIDIA L4)"


def changes(**lines: str) -> dict[str, str]:
    """Lines of the scenario for card 0."""
    return {f"_0__{key}": value for key, value in lines.items()}


CASES = [
    # check, lines of card 0, status, code, English, Chinese, advice
    ("temperature", {}, "ok", "ok", "61 °C; it slows down at 92 °C", "61 °C；降频温度为 92 °C", ""),
    ("temperature", {"temperature": "86"}, "warning", "hot", "close to the 92 °C", "接近降频温度", "fans"),
    ("temperature", {"temperature": "92"}, "critical", "too_hot", "switches off", "关断", "Take load off now"),
    ("temperature", {"temperature": "91", "slowdown": "!3"}, "warning", "hot_usual", "a usual one", "90 °C", "fans"),
    ("temperature", {"slowdown": "!3"}, "ok", "ok_usual", "does not tell its limit", "90 °C", ""),
    (
        "temperature",
        {"temperature": "!3"},
        "warning",
        "not_told",
        "does not tell its temp",
        "没有提供温度",
        "virtual GPU",
    ),
    ("power", {}, "ok", "ok", "draws 68 W of 72 W", "功耗 68 W", ""),
    ("power", {"power_limit": "40000"}, "warning", "limited", "40 W only", "上限仅为 40 W", "nvidia-smi -i 0 -pl 72"),
    ("power", {"power_default": "!3"}, "ok", "ok", "draws 68 W", "功耗 68 W", ""),
    ("power", {"power": "!3"}, "skipped", "not_told", "does not tell its power", "没有提供功耗", ""),
    ("throttle", {}, "ok", "power_cap", "at its power limit", "达到功率上限", ""),
    ("throttle", {"reasons": "0"}, "ok", "ok", "not slowed down", "没有降频", ""),
    ("throttle", {"reasons": "1"}, "ok", "idle", "it is idle", "当前空闲", ""),
    ("throttle", {"reasons": "0x2"}, "ok", "set", "set by somebody", "人为设置", ""),
    ("throttle", {"reasons": "0x12"}, "ok", "set", "set by somebody", "人为设置", ""),
    ("throttle", {"reasons": "!3"}, "skipped", "not_told", "does not tell", "没有提供是否降频", ""),
    ("clocks", {}, "ok", "ok", "1950 of 2040 MHz", "1950/2040 MHz", ""),
    ("clocks", {"clock_sm": "210", "reasons": "1"}, "ok", "low_idle", "nothing to do", "当前空闲", ""),
    ("clocks", {"clock_sm": "210", "utilization": "3 1", "pstate": "8"}, "ok", "low_idle", "210", "当前空闲", ""),
    ("clocks", {"clock_sm": "210", "utilization": "0 0", "reasons": "0"}, "ok", "low_idle", "210", "当前空闲", ""),
    ("clocks", {"clock_sm": "210", "reasons": "0"}, "warning", "stuck", "stuck at 210", "频率停在 210", "-i 0 -rgc"),
    ("clocks", {"clock_sm": "210", "reasons": "0", "utilization": "!3"}, "warning", "stuck", "10 %", "10 %", "-rac"),
    (
        "clocks",
        {"clock_sm": "600", "reasons": "0x40"},
        "warning",
        "held_down",
        "tells why",
        "已说明原因",
        "gpu.throttle",
    ),
    ("clocks", {"clock_sm": "600"}, "ok", "capped", "at its power limit", "功率上限", ""),
    ("clocks", {"clock_sm": "600", "power": "30000"}, "warning", "held_down", "tells why", "已说明原因", "power cable"),
    ("clocks", {"clock_sm": "!3"}, "skipped", "not_told", "does not tell its clock", "没有提供频率", ""),
    ("ecc", {"ecc_volatile": "12 0"}, "ok", "ok", "12 corrected", "已纠正 12 个", ""),
    (
        "ecc",
        {"ecc_volatile": "12 3"},
        "critical",
        "uncorrected",
        "3 uncorrected",
        "3 个未纠正",
        "nobody rely on answers",
    ),
    ("ecc", {"ecc_mode": "0"}, "warning", "off", "ECC is switched off", "ECC 已关闭", "nvidia-smi -i 0 -e 1"),
    ("ecc", {"ecc_mode": "!3"}, "skipped", "no_ecc", "no ECC that could be read", "没有可读取的 ECC", ""),
    (
        "ecc",
        {"ecc_volatile": "!4"},
        "unknown",
        "not_told",
        "cannot be read",
        "无法读取错误计数",
        "nvidia-smi -q -d ECC",
    ),
    ("rows", {}, "ok", "ok", "all of its memory is in use", "全部显存", ""),
    ("rows", {"remapped": "2 1 0 0"}, "ok", "some", "3 rows remapped", "已重映射 3 行", ""),
    (
        "rows",
        {"remapped": "0 1 1 0"},
        "warning",
        "pending",
        "waits to be taken out",
        "等待停用",
        "Restart the box tonight",
    ),
    ("rows", {"remapped": "0 1 1 1"}, "critical", "failed_remap", "may be wrong", "可能有误", "replaced (RMA)"),
    ("rows", {"remapped": "!3"}, "skipped", "not_told", "rows or pages", "停用的行或页", ""),
    ("persistence", {}, "ok", "ok", "stays loaded", "驱动常驻", ""),
    ("persistence", {"persistence": "0"}, "warning", "off", "is unloaded", "会被卸载", "nvidia-persistenced"),
    ("persistence", {"persistence": "!3"}, "skipped", "not_told", "persistence mode", "持久模式", ""),
    ("capability", {}, "ok", "ok", "8.9, with bf16", "硬件支持 bf16", ""),
    ("capability", {"capability": "7 5"}, "warning", "slow", "computed in fp32", "以 fp32 计算", "from Ampere on"),
    ("capability", {"capability": "7 0"}, "critical", "unsupported", "needs 7.5", "需要 7.5", "CUDA_VISIBLE_DEVICES"),
    ("capability", {"capability": "12 0"}, "ok", "ok", "12.0", "12.0", ""),
    ("capability", {"capability": "!3"}, "unknown", "not_told", "compute capability", "计算能力", "compute_cap"),
]


@pytest.mark.parametrize(("check", "lines", "status", "code", "english", "chinese", "advice"), CASES)
def test_what_a_card_says_is_judged_and_worded(box, check, lines, status, code, english, chinese, advice):
    box.stub.set("healthy", **changes(**lines))
    found = box.check(f"gpu.{check}")
    assert (found.status, found.code) == (status, code)
    assert english in found.en["text"]
    assert chinese in found.zh["text"]
    assert CARD in found.en["text"]
    assert CARD in found.zh["text"]
    assert advice in found.en["advice"]
    assert bool(found.en["advice"]) == bool(found.zh["advice"]) == (status not in ("ok", "skipped"))
    assert found.en["advice"] != found.zh["advice"] or not found.en["advice"]
    assert "?" not in found.en["text"]


@pytest.mark.parametrize(
    ("bits", "english", "chinese", "action"),
    [
        ("0x40", "too hot (hardware thermal limit)", "过热（硬件温度限制）", "fans"),
        ("0x20", "too hot (driver thermal limit)", "过热（驱动温度限制）", "fans"),
        ("0x80", "power brake from the box's power supply", "机箱电源制动", "power supply"),
        ("0x8", "hardware slowdown (heat or power)", "硬件降速（过热或供电）", "power cable"),
        ("0x8000000000000000", "a reason this driver does not name", "驱动未说明的原因", "PERFORMANCE"),
    ],
)
def test_each_reason_for_slowness_has_its_cause_and_action(box, bits, english, chinese, action):
    box.stub.set("healthy", _0__reasons=bits)
    found = box.check("gpu.throttle")
    assert (found.status, found.code) == ("warning", "slowed")
    cause, advice = found.en["items"]
    assert cause == english
    assert action in advice
    assert found.zh["items"][0] == chinese
    assert "below each reason" in found.en["advice"]


def test_the_worst_reason_stands_first(box):
    box.stub.set("hot_throttled")
    found = box.check("gpu.throttle")
    causes = found.en["items"][::2]
    assert [cause.split(" (")[0] for cause in causes[:2]] == ["too hot", "too hot"]
    assert causes[0] == "too hot (hardware thermal limit)"
    assert len(causes) == 4


def test_a_clock_that_was_just_rising_is_not_stuck(box):
    """The second look sees it high: the first reading is slow to come and the scenario changes meanwhile."""
    box.stub.set("healthy", _0__clock_sm="210", _0__reasons="0")
    assert box.pid
    rise = threading.Timer(0.25, box.stub.set, args=("healthy",))
    rise.start()
    found = box.check("gpu.clocks")
    rise.join()
    assert (found.status, found.code) == ("ok", "ok")


def test_pages_of_an_older_card(box):
    box.stub.set("turing", _0__retired_0="3", _0__retired_1="2")
    found = box.check("gpu.rows")
    assert (found.status, found.code) == ("ok", "some")
    assert "5 pages retired" in found.en["text"]
    box.stub.set("turing", _0__retired_1="1", _0__retired_pending="1")
    assert box.check("gpu.rows").code == "pending"
    box.stub.set("turing", _0__retired_0="58", _0__retired_1="2")
    found = box.check("gpu.rows")
    assert (found.status, found.code) == ("warning", "many_pages")
    assert "60 pages" in found.en["text"]
    assert "RMA" in found.en["advice"]
    assert "60 页" in found.zh["text"]


def test_errors_over_the_cards_life_are_told_and_not_held_against_it(box):
    box.stub.set("healthy", _0__ecc_aggregate="4000 7")
    found = box.check("gpu.ecc")
    assert found.status == "ok"
    assert found.en["items"] == [f"{CARD}: 7 uncorrected errors over its life."]
    figures = {figure["name"]: (figure["value"], figure["critical"]) for figure in found.figures}
    assert figures == {"gpu_ecc_uncorrected": (0, 0), "gpu_ecc_corrected": (0, None)}


def test_figures_have_their_thresholds_and_the_cards_index(box):
    box.stub.set("two_gpus")
    figures = box.check("gpu.temperature").figures
    assert [(each["label"], each["value"], each["warning"], each["critical"]) for each in figures] == [
        ("0", 61, 85, 92),
        ("1", 44, 85, 92),
    ]
    assert {each["unit"] for each in figures} == {"C"}


def test_of_several_cards_the_worst_decides_and_is_named(box):
    box.stub.set("two_gpus", _1__temperature="95", _1__persistence="0", _1__reasons="0x40")
    results = box.all()
    hot = results["gpu.temperature"]
    assert (hot.status, hot.code) == ("critical", "too_hot")
    assert "GPU 1 (NVIDIA A10): 95 °C" in hot.en["text"]
    assert "GPU 1 (NVIDIA A10)" in results["gpu.persistence"].en["text"]
    slowed = results["gpu.throttle"]
    assert "GPU 1 (NVIDIA A10) is slowed" in slowed.en["text"]
    assert slowed.en["items"][:2] == ["GPU 0 (NVIDIA L4):", "at its power limit"]


def test_a_healthy_box_has_no_complaint(box):
    results = box.all()
    assert {result.status for result in results.values()} == {"ok"}
    assert results["gpu.present"].en["text"] == "1 found: GPU 0 (NVIDIA L4)."
    assert len(results) == 13


def test_an_old_drivers_card_is_judged_by_what_it_tells(box):
    box.stub.set("old_driver")
    box.torch = "cuda12"
    box.start()
    try:
        results = box.all()
        assert results["gpu.driver"].code == "too_old"
        assert results["gpu.rows"].code == "not_told"
        assert results["gpu.temperature"].status == results["gpu.memory"].status == "ok"
    finally:
        box.stop()


def test_a_mig_card_is_no_fault(box):
    box.stub.set("mig")
    results = box.all()
    assert results["gpu.memory"].code == "ok"
    assert "40.00 GiB" in results["gpu.memory"].en["text"]  # of the instance with most
    assert {result.status for result in results.values()} <= {"ok", "skipped"}


def test_mig_without_an_instance_can_run_nothing(box):
    box.stub.set("healthy", _0__mig_mode="1")
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("critical", "mig_empty")
    assert "nvidia-smi -i 0 -mig 0" in found.en["advice"]
    assert "没有实例" in found.zh["text"]


def test_a_driver_that_hangs_makes_every_check_unknown_and_stops_none(box):
    box.stub.set("hang_for_ever")
    box.timeout_s = 0.4
    try:
        results = box.all()
        assert {(result.status, result.code) for result in results.values()} == {("unknown", "timeout")}
        assert len(results) == 13
        assert "hangs" in results["gpu.temperature"].en["text"]
        assert results["gpu.temperature"].en["advice"]
    finally:
        box.stop()  # its threads never come back
