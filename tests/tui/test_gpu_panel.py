"""The GPU panel says what was measured, and n/a where nothing was."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from medgemma_tui import i18n
from medgemma_tui.protocol import GpuProcess, GpuSample, HostSample, MigInstance, ServiceSample, Telemetry
from medgemma_tui.tui import themes
from medgemma_tui.tui.ink import width_of
from medgemma_tui.tui.profile import ASCII, LINUX_CONSOLE, UNICODE, Profile, choose
from medgemma_tui.tui.widgets import gpu_words as words
from medgemma_tui.tui.widgets.gpu_panel import GpuPanel
from medgemma_tui.tui.widgets.sparkline import gauge, sparkline

STYLES = Path(__file__).parents[2] / "styles"
GIB = 1 << 30
HOST = HostSample(cpu_percent=31, memory_total=64 * GIB, memory_used=20 * GIB)
L4 = GpuSample(
    index=0, name="NVIDIA L4", utilization=87, memory_total=int(22.5 * GIB), memory_used=int(6.1 * GIB), temperature=61,
    temperature_slowdown=95, power=68, power_limit=72, clock_sm=1980, clock_sm_max=2040, throttle=[], ecc_enabled=True,
    ecc_corrected=0, ecc_uncorrected=0,
    processes=[
        GpuProcess(pid=1, is_worker=True, used_bytes=int(5.2 * GIB)), GpuProcess(pid=2, used_bytes=int(0.9 * GIB)),
    ],
)  # fmt: skip


@pytest.fixture(autouse=True)
def _english():
    i18n.set_language("en")


def telemetry(*gpus: GpuSample, **more: object) -> Telemetry:
    service = ServiceSample(queued=2, active=3, parked_sessions=1)
    return Telemetry(time=0.0, gpus=list(gpus), **{"host": HOST, "service": service, **more})


def said(
    now: Telemetry | None, width: int = 34, *, reason: str = "", device: str | None = None,
    compact: bool = False, profile: str = "color",
) -> str:  # fmt: skip
    panel = GpuPanel(choose(profile, {"TERM": "xterm-256color"}))
    panel.show(now, reason, device)
    panel.compact = compact
    lines = panel.compose_lines(width)
    assert all(width_of(line) <= width for line in lines), lines
    return "\n".join("".join(text for text, _ink in line) for line in lines)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_healthy_card() -> None:
    text = flat(said(telemetry(L4)))
    for part in (
        "GPU 0 · NVIDIA L4", "87 %", "6.1/22.5 GiB", "61 °C", "68/72 W", "1980/2040 MHz",
        "no throttling", "ECC: 0 corrected", "worker 5.2 GiB", "others 0.9 GiB", "queue 2", "answering 3",
        "parked 1", "CPU 31 %", "RAM 20/64 GiB",
    ):  # fmt: skip
        assert part in text, part
    assert "n/a" not in text


def test_what_a_card_does_not_say_is_not_zero() -> None:
    text = flat(said(telemetry(GpuSample(index=0, name="Old card"))))
    assert text.count("n/a") >= 6
    assert "0 %" not in text.replace("31 %", "")
    assert "no throttling" not in text
    assert "throttling: n/a" in text


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("hw_thermal", "too hot (hardware thermal limit)"), ("sw_thermal", "too hot (driver thermal limit)"),
        ("sw_power_cap", "at its power limit"), ("hw_slowdown", "hardware slowdown"), ("hw_power_brake", "power brake"),
        ("unknown", "a reason this driver does not name"),
    ],
)  # fmt: skip
def test_why_it_is_slow(reason: str, words: str) -> None:
    slowed = L4.model_copy(update={"throttle": ["idle", reason]})
    for compact, width in ((False, 34), (True, 100)):
        text = flat(said(telemetry(slowed), width, compact=compact))
        assert f"Slowed: {words}" in text
        assert "no throttling" not in text


def test_an_idle_card_is_not_called_slowed() -> None:
    assert "no throttling" in said(telemetry(L4.model_copy(update={"throttle": ["idle", "applications_clocks"]})))


def test_ecc_errors_are_told_with_what_they_mean() -> None:
    text = flat(said(telemetry(L4.model_copy(update={"ecc_uncorrected": 3}))))
    assert "3 uncorrected errors" in text
    assert "ECC" not in said(telemetry(L4.model_copy(update={"ecc_enabled": None})))


def test_others_are_what_the_worker_does_not_hold_where_they_do_not_say() -> None:
    hidden = [GpuProcess(pid=1, is_worker=True, used_bytes=5 * GIB), GpuProcess(pid=2)]
    gpu = L4.model_copy(update={"processes": hidden, "memory_used": 8 * GIB})
    assert "others 3.0 GiB" in flat(said(telemetry(gpu)))
    assert "others n/a" in flat(said(telemetry(L4.model_copy(update={"processes": None}))))


def test_mig_instances_and_several_cards() -> None:
    mig = [MigInstance(index=0, name="3g.20gb", memory_total=20 * GIB, memory_used=5 * GIB), MigInstance(index=1)]
    text = flat(said(telemetry(L4.model_copy(update={"mig": mig}), L4.model_copy(update={"index": 1, "name": "T4"}))))
    assert "MIG 0 3g.20gb · 5.0/20.0 GiB" in text
    assert "MIG 1 · n/a" in text
    assert "GPU 1 · T4" in text


def test_a_lost_card_is_told_beside_one_that_works() -> None:
    lost = GpuSample(index=1, name="L4", error="GPU is lost", error_code="gpu_lost")
    text = flat(said(telemetry(L4, lost)))
    assert "✗ The GPU is lost" in text
    assert "87 %" in text
    alone = flat(said(telemetry(lost)))
    assert "CPU 31 %" in alone or "31 %" in alone
    assert "GPU 1: the card is lost" in flat(said(telemetry(lost), 60, compact=True))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("driver_not_loaded", "driver not loaded"), ("library_not_found", "library not found"),
        ("no_device", "no GPU in this box"), ("no_permission", "no permission"), ("starting", "no figures yet"),
    ],
)  # fmt: skip
def test_no_card_gives_the_reason_and_the_hosts_figures(code: str, words: str) -> None:
    text = flat(said(telemetry(nvml_error_code=code, nvml_error="x")))
    assert words in text
    assert "31 %" in text
    assert "runs on the CPU" not in text  # nobody said so
    text = flat(said(telemetry(nvml_error_code=code), device="cpu"))
    assert "the model runs on the CPU" in text
    assert ("no GPU" in text) == (code not in ("no_permission", "starting"))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("reason", ["hw_thermal", "sw_power_cap", "hw_slowdown", "hw_power_brake", "unknown"])
def test_eighty_columns_tell_why_it_is_slow_and_cut_no_word(reason: str, lang: str) -> None:
    i18n.set_language(lang)
    text = said(telemetry(L4.model_copy(update={"throttle": [reason]})), 78, compact=True)
    told = words.slowed(L4.model_copy(update={"throttle": [reason]}), short=True)
    assert told in text or words.slowed(L4.model_copy(update={"throttle": [reason]})) in text
    assert "…" not in text
    assert all(part in text for part in ("GPU 0", "87 %", "61 °C"))
    assert "2" in text.rpartition("·")[2]  # the queue


def test_nobody_knows_is_not_none() -> None:
    for code in ("timeout", "no_permission", "version_mismatch", "unknown"):
        text = said(telemetry(nvml_error_code=code), 78, compact=True)
        assert text.startswith("GPU — unknown · CPU 31 %")
        assert "…" not in text
    assert said(telemetry(nvml_error_code="no_device"), 78, compact=True).startswith("GPU — none · CPU 31 %")


def test_old_figures_are_told_to_be_old() -> None:
    panel = GpuPanel(choose("color", {}))
    for compact in (False, True):
        panel.show(telemetry(L4, gpu_age_s=1.0), age_s=20.0)
        panel.compact = compact
        assert "21 s old" in str(panel.compose_lines(78))
    assert "12 s old" in said(telemetry(L4, gpu_age_s=12.4))
    assert "old" not in said(telemetry(L4, gpu_age_s=1.0))


def test_no_telemetry_at_all() -> None:
    assert "the service is away" in said(None, reason="the service is away")
    assert said(None)


def test_foreign_names_are_made_safe() -> None:
    evil = L4.model_copy(update={"name": "L4\x1b]52;c;eA==\x07\u202e", "mig": [MigInstance(index=0, name="\x1b[31m")]})
    for compact in (False, True):
        text = said(telemetry(evil, nvml_error="\x1b[2J"), compact=compact)
        assert not any((ord(letter) < 32 and letter != "\n") or letter == "\u202e" for letter in text)


@pytest.mark.parametrize("width", [20, 28, 36, 60, 120])
@pytest.mark.parametrize("profile", ["color", "console16", "ascii"])
def test_every_width_and_profile_fits(width: int, profile: str) -> None:
    worst = L4.model_copy(update={"throttle": ["hw_thermal", "sw_power_cap"], "ecc_uncorrected": 2, "name": "名" * 40})
    for now in (telemetry(worst, L4), telemetry(nvml_error_code="library_not_found"), None):
        for compact in (False, True):
            text = said(now, width, compact=compact, profile=profile)
            assert ("\n" not in text) or not compact
            if profile == "ascii":
                assert text.replace("名", "").isascii()


def test_the_compact_line_has_the_figures_a_clinician_needs() -> None:
    text = said(telemetry(L4), 58, compact=True)
    assert all(part in text for part in ("GPU 0", "87 %", "6.1/22.5 GiB", "61 °C", "2 waiting"))
    assert "87 %" in said(telemetry(L4), 38, compact=True)
    none = said(telemetry(nvml_error_code="library_not_found"), 38, compact=True)
    assert none.startswith("GPU — none · CPU 31 % · 2 waiting")


@pytest.mark.parametrize("glyphs", [UNICODE, LINUX_CONSOLE, ASCII])
def test_sparkline_and_gauge(glyphs) -> None:
    line = sparkline([0, None, 50, 100], 6, glyphs)
    assert len(line) == 6
    assert line[2] == glyphs.spark[0]
    assert line[3] == glyphs.spark_gap
    assert line[5] == glyphs.spark[-1]
    assert sparkline([1.0] * 50, 6, glyphs) == glyphs.spark[0] * 6
    assert sparkline([], 0, glyphs) == ""
    assert gauge(None, 5, glyphs) == glyphs.gauge_empty * 5
    assert gauge(2.0, 5, glyphs) == glyphs.gauge_full * 5
    for part in range(0, 101, 3):
        assert len(gauge(part / 100, 7, glyphs)) == 7


class House(App[None]):
    CSS_PATH = [STYLES / "inks.tcss", STYLES / "gpu_panel.tcss"]  # noqa: RUF012

    def __init__(self, profile: Profile) -> None:
        self.console_profile = profile
        super().__init__()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.variable_defaults(self.console_profile)

    def compose(self) -> ComposeResult:
        yield GpuPanel(self.console_profile)


async def test_a_tick_repaints_only_the_lines_that_changed_and_needs_no_layout() -> None:
    app = House(choose("color", {}))
    async with app.run_test(size=(40, 24)) as pilot:
        panel = app.query_one(GpuPanel)
        panel.show(telemetry(L4))
        await pilot.pause()
        assert panel.size.height == len(panel.compose_lines(38))
        refreshed: list[tuple[list[int], bool]] = []
        refresh = panel.refresh

        def watched(*regions, **more):
            refreshed.append(([region.y for region in regions], more.get("layout", False)))
            return refresh(*regions, **more)

        panel.refresh = watched
        panel.show(telemetry(L4.model_copy(update={"temperature": 62})))
        await pilot.pause()
        assert refreshed == [([1], False), ([3], False)]  # the sparkline went on, and the temperature
        panel.show(telemetry(nvml_error_code="driver_not_loaded"))
        await pilot.pause()
        assert refreshed[-1] == ([], True)
        await pilot.pause()
        assert panel.size.height == len(panel.compose_lines(38))
