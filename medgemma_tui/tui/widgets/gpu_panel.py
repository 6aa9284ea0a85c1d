"""The GPU panel: what the cards and the host do now, from the gateway's telemetry."""

from __future__ import annotations

from collections import deque

from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import GpuSample, Telemetry
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.ink import MUTED, STRONG, TEXT, Ink, Line, Panel, Run, fields, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.widgets import gpu_words as words
from medgemma_tui.tui.widgets.gpu_words import GIB
from medgemma_tui.tui.widgets.sparkline import gauge, sparkline
from medgemma_tui.tui.wrap import cells, pad, truncate, wrap

HISTORY = 60
"""Samples kept for each sparkline."""
STALE_S = 5.0
"""Seconds after which the GPU's figures are told to be old."""

_OK = Ink("ok")
_WARN = Ink("warn", bold=True)
_BAD = Ink("bad", bold=True)
_HOST = -1


class GpuPanel(Panel):
    """Load, memory, heat, power, clocks and why a card is slowed; queue and host. ``compact``: one line."""

    def __init__(self, profile: Profile, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._glyphs = profile.glyphs
        self._telemetry: Telemetry | None = None
        self._reason = ""
        self._device: str | None = None
        self._age_s = 0.0
        self._compact = False
        self._loads: dict[int, deque[float | None]] = {}

    @property
    def _gap(self) -> Run:
        return (f" {self._glyphs.dot} ", MUTED)

    @property
    def compact(self) -> bool:
        """One line, for narrow screens."""
        return self._compact

    @compact.setter
    def compact(self, compact: bool) -> None:
        if compact != self._compact:
            self._compact = compact
            self.redraw()

    def show(
        self, telemetry: Telemetry | None, reason: str = "", device: str | None = None, age_s: float = 0.0
    ) -> None:
        """Show this sample; None says that there are no figures, and ``reason`` why, in the language in use.

        ``device`` is where the model runs as its card says ("cpu", "cuda:0"), None where that is not known. ``age_s``:
        how long ago the sample arrived.
        """
        self._device, self._age_s = device, age_s
        if telemetry is not None and telemetry is not self._telemetry:
            self._remember(_HOST, telemetry.host.cpu_percent)
            for gpu in telemetry.gpus:
                self._remember(gpu.index, gpu.utilization)
        self._telemetry, self._reason = telemetry, reason
        self.redraw()

    def compose_lines(self, width: int) -> list[Line]:
        """The panel for this width."""
        now = self._telemetry
        if now is None:
            text = clean_line(self._reason) or _("No figures from the service yet.")
            lines = wrap([(f"GPU {self._glyphs.dash} ", MUTED), (text, MUTED)], width)
            return lines[:1] if self._compact else lines
        if self._compact:
            return [self._one_line(now, width)]
        lines = []
        for gpu in now.gpus:
            if lines:
                lines.append([(self._glyphs.rule * width, MUTED)])
            lines += self._card(gpu, width, full=len(now.gpus) == 1)
        if not any(gpu.error is None for gpu in now.gpus):
            lines += self._no_card(now, width)
        if (age := self._age(now)) > STALE_S:
            text = _("GPU figures are {n} s old").format(n=f"{age:.0f}")
            lines += wrap([(f"{self._glyphs.warn} {text}", _WARN)], width)
        return [*lines, *self._service(now, width)]

    def _age(self, now: Telemetry) -> float:
        """Seconds since somebody read the GPU."""
        return (now.gpu_age_s or 0.0) + self._age_s

    def _remember(self, index: int, load: float | None) -> None:
        self._loads.setdefault(index, deque(maxlen=HISTORY)).append(load)

    # --- one card -------------------------------------------------------------------------------------

    def _card(self, gpu: GpuSample, width: int, *, full: bool) -> list[Line]:
        glyphs = self._glyphs
        name = clean_line(gpu.name) or words.not_available()
        title: Line = [(truncate(f"GPU {gpu.index} {glyphs.dot} {name}", width, glyphs.ellipsis), STRONG)]
        if gpu.error is not None:
            text = words.nvml_sentence(gpu.error_code, clean_line(gpu.error))
            return [title, *wrap([(f"{glyphs.bad} {text}", _BAD)], width)]
        lines = [title, self._load_line(_("load"), gpu.index, gpu.utilization, width), self._memory_line(gpu, width)]
        hot = (
            gpu.temperature is not None
            and gpu.temperature_slowdown is not None
            and gpu.temperature >= gpu.temperature_slowdown - 3
        )
        figures: list[Line] = [
            [(words.number(gpu.temperature, f" {glyphs.degree}"), _WARN if hot else TEXT)],
            [(words.share(gpu.power, gpu.power_limit, " W"), TEXT)],
        ]
        if full or gpu.clock_sm is not None:
            figures.append([(words.share(gpu.clock_sm, gpu.clock_sm_max, " MHz"), TEXT)])
        lines += fields(figures, width, self._gap)
        lines += self._health(gpu, width)
        worker, others = words.holders(gpu)
        if full or others:
            held = [
                _("worker {gib} GiB").format(gib=words.gib(worker)),
                _("others {gib} GiB").format(gib=words.gib(others)),
            ]
            lines += fields([[(text, MUTED)] for text in held], width, self._gap)
        for part in gpu.mig:
            used = words.share(part.memory_used, part.memory_total, " GiB", GIB, 1)
            label = f"MIG {part.index} {clean_line(part.name or '')}".rstrip()
            lines.append([(truncate(f"{label} {glyphs.dot} {used}", width, glyphs.ellipsis), TEXT)])
        return lines

    def _load_line(self, label: str, index: int, load: float | None, width: int) -> Line:
        head, tail = f"{pad(label, max(4, cells(label)))} ", f" {pad(words.number(load, ' %'), 5)}"
        line = sparkline(list(self._loads.get(index, ())), max(0, width - cells(head) - cells(tail)), self._glyphs)
        return [(head, TEXT), (line, Ink("heading")), (tail, STRONG)]

    def _memory_line(self, gpu: GpuSample, width: int) -> Line:
        head = f"{pad(_('VRAM'), max(4, cells(_('VRAM'))))} "
        tail = " " + words.share(gpu.memory_used, gpu.memory_total, " GiB", GIB, 1)
        part = gpu.memory_used / gpu.memory_total if gpu.memory_used is not None and gpu.memory_total else None
        full = part is not None and part > 0.95
        bar = gauge(part, max(0, width - cells(head) - cells(tail)), self._glyphs)
        return [(head, TEXT), (bar, _WARN if full else Ink("heading")), (tail, STRONG)]

    def _health(self, gpu: GpuSample, width: int) -> list[Line]:
        """Whether it is slowed, and ECC: faults in words, and the absence of faults only where it is known."""
        glyphs = self._glyphs
        slowed = words.slowed(gpu)
        lines: list[Line] = []
        if slowed:
            lines += wrap([(f"{glyphs.warn} {slowed}", _WARN)], width)
        else:
            said = (_("no throttling"), _OK) if slowed is not None else (_("throttling: n/a"), MUTED)
            lines += wrap([said], width)
        if (told := words.ecc(gpu)) is not None:
            text, bad = told
            lines += wrap([(f"{glyphs.bad} {text}" if bad else text, _BAD if bad else MUTED)], width)
        return lines

    # --- the host and the service ---------------------------------------------------------------------

    def _no_card(self, now: Telemetry, width: int) -> list[Line]:
        cpu = self._load_line(_("CPU"), _HOST, now.host.cpu_percent, width)
        if now.gpus:  # all of them lost, as their own lines say
            return [cpu]
        return [*wrap([(f"GPU {self._glyphs.dash} ", STRONG), (self._why_none(now), MUTED)], width), cpu]

    def _why_none(self, now: Telemetry) -> str:
        """Why there is no card to show, and where the model runs if that is known."""
        text = words.nvml_sentence(now.nvml_error_code, clean_line(now.nvml_error or "")) or _("no figures yet")
        if self._device != "cpu":
            return text
        said = _("no GPU: the model runs on the CPU")
        if not words.no_card(now.nvml_error_code):
            said = _("the model runs on the CPU")
        return f"{said} ({text.rstrip('.。')})"

    def _service(self, now: Telemetry, width: int) -> list[Line]:
        service = now.service
        counts = [
            _("queue {n}").format(n=service.queued),
            _("answering {n}").format(n=service.active),
            _("parked {n}").format(n=service.parked_sessions),
        ]
        lines = fields([[(text, TEXT)] for text in counts], width, self._gap)
        memory = words.share(now.host.memory_used, now.host.memory_total, " GiB", GIB, 0)
        percent = words.number(now.host.cpu_percent, " %")
        host = [_("host CPU {percent}").format(percent=percent), f"RAM {memory}"]
        return [*lines, *fields([[(text, MUTED)] for text in host], width, self._gap)]

    # --- one line -------------------------------------------------------------------------------------

    def _one_line(self, now: Telemetry, width: int) -> Line:
        """The busiest card, what is wrong, memory, heat, queue. Where there is little room: fewer words for what is
        wrong, no sparkline, and then the last parts are left out. No word is cut."""
        for short, spark in ((False, True), (False, False), (True, True), (True, False)):
            parts = self._parts(now, short=short, spark=spark)
            if width_of(self._joined(parts)) <= width:
                break
        while len(parts) > 1 and width_of(self._joined(parts)) > width:
            parts.pop()
        return wrap(self._joined(parts), width)[0]

    def _joined(self, parts: list[Line]) -> Line:
        line: Line = []
        for part in parts:
            line += [self._gap, *part] if line else part
        return line

    def _parts(self, now: Telemetry, *, short: bool, spark: bool) -> list[Line]:
        glyphs = self._glyphs
        parts: list[Line] = []
        cards = [gpu for gpu in now.gpus if gpu.error is None]
        lost = [gpu for gpu in now.gpus if gpu.error is not None]
        if (age := self._age(now)) > STALE_S:
            parts.append([(f"{glyphs.warn} {_('{n} s old').format(n=f'{age:.0f}')}", _WARN)])
        if cards:
            gpu = max(cards, key=lambda card: card.utilization or 0.0)
            which = f"GPU {gpu.index}"
            if len(cards) > 1:
                which = _("GPU {index} of {count}").format(index=gpu.index, count=len(cards))
            history = sparkline(list(self._loads.get(gpu.index, ())), 8, glyphs) + " " if spark else ""
            load = words.number(gpu.utilization, " %")
            parts.append([(f"{which} ", STRONG), (history, Ink("heading")), (load, STRONG)])
        for gpu in lost:
            why = words.nvml_reason(gpu.error_code) if short else ""
            why = why or words.nvml_sentence(gpu.error_code, clean_line(gpu.error or ""))
            parts.append([(f"{glyphs.bad} GPU {gpu.index}: {why}", _BAD)])
        for gpu in cards:
            name = f"GPU {gpu.index} " if len(now.gpus) > 1 else ""
            if told := words.slowed(gpu, short=short):
                parts.append([(f"{glyphs.warn} {name}{told}", _WARN)])
            if (ecc := words.ecc(gpu)) is not None and ecc[1]:
                text = _("{n} memory errors").format(n=gpu.ecc_uncorrected) if short else ecc[0]
                parts.append([(f"{glyphs.bad} {name}{text}", _BAD)])
        if cards:
            gpu = max(cards, key=lambda card: card.utilization or 0.0)
            parts.append([(words.share(gpu.memory_used, gpu.memory_total, " GiB", GIB, 1), TEXT)])
            parts.append([(words.number(gpu.temperature, f" {glyphs.degree}"), TEXT)])
        else:
            if not lost:
                state = _("none") if words.no_card(now.nvml_error_code) else _("unknown")
                parts.append([(f"GPU {glyphs.dash} {state}", STRONG)])
            parts.append([(f"CPU {words.number(now.host.cpu_percent, ' %')}", TEXT)])
        queued = now.service.queued
        parts.append([(ngettext("{n} waiting", "{n} waiting", queued).format(n=queued), TEXT)])
        if not now.gpus:
            parts.append([(words.nvml_reason(now.nvml_error_code) if short else self._why_none(now), MUTED)])
        return parts
