"""Outcomes of the group ``gpu`` that are about a card's state: heat, power, clocks, the health of its memory."""

from __future__ import annotations

from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_

TITLES: dict[str, str] = {
    "gpu.temperature": N_("GPU temperature"),
    "gpu.power": N_("GPU power"),
    "gpu.throttle": N_("GPU slowed down"),
    "gpu.clocks": N_("GPU clocks"),
    "gpu.ecc": N_("GPU memory errors (ECC)"),
    "gpu.rows": N_("GPU memory out of use"),
    "gpu.xid": N_("GPU events (Xid)"),
    "gpu.persistence": N_("GPU persistence mode"),
}

_COOL = N_("Look at the fans, the filters, and the room's cooling; free the air's way through the box.")

MEANINGS: dict[str, dict[str, Meaning]] = {
    "gpu.temperature": {
        "ok": Meaning("ok", N_("{card}: {celsius} °C; it slows down at {limit} °C.")),
        "hot": Meaning("warning", N_("{card}: {celsius} °C, close to the {limit} °C at which it slows down."), _COOL),
        "too_hot": Meaning(
            "critical",
            N_("{card}: {celsius} °C, and at {limit} °C it slows down; a little hotter and it switches off."),
            N_("Take load off now (systemctl stop medgemma if it rises), and look at fans, filters and cooling."),
        ),
        "too_hot_beside": Meaning(
            "warning",
            N_("{card}, which the model is not on: {celsius} °C, and at {limit} °C it slows down."),
            _COOL,
        ),
        "ok_usual": Meaning("ok", N_("{card}: {celsius} °C; it does not tell its limit, {limit} °C is a usual one.")),
        "hot_usual": Meaning(
            "warning",
            N_("{card}: {celsius} °C; it does not tell its limit, and a usual one is {limit} °C."),
            _COOL,
        ),
        "not_told": Meaning(
            "warning",
            N_("{card} does not tell its temperature, so heat goes unnoticed."),
            N_("See nvidia-smi -q -d TEMPERATURE. A virtual GPU never tells it: then watch it on the host."),
        ),
    },
    "gpu.power": {
        "ok": Meaning("ok", N_("{card}: draws {watts} W of {limit} W.")),
        "limited": Meaning(
            "warning",
            N_("{card} may draw {limit} W only, and usual are {usual} W: answers come slower."),
            N_("If nobody wanted that, set it back: sudo nvidia-smi -i {index} -pl {usual}"),
        ),
        "not_told": Meaning("skipped", N_("{card} does not tell its power.")),
    },
    "gpu.throttle": {
        "ok": Meaning("ok", N_("{card}: not slowed down.")),
        "idle": Meaning("ok", N_("{card}: not slowed down; it is idle.")),
        "power_cap": Meaning("ok", N_("{card}: at its power limit, as a card at full load is.")),
        "set": Meaning("ok", N_("{card}: its clocks are set by somebody, not slowed by a fault.")),
        "slowed": Meaning(
            "warning",
            N_("{card} is slowed down: answers come slower than this card can."),
            N_("Do what stands below each reason, and run this again under load."),
        ),
        "not_told": Meaning("skipped", N_("{card} does not tell whether it is slowed down.")),
    },
    "gpu.clocks": {
        "ok": Meaning("ok", N_("{card}: {mhz} of {most} MHz.")),
        "low_idle": Meaning("ok", N_("{card}: {mhz} of {most} MHz, with nothing to do.")),
        "capped": Meaning("ok", N_("{card}: {mhz} of {most} MHz ({percent} %) at work, at its power limit.")),
        "held_down": Meaning(
            "warning",
            N_("{card}: {mhz} of {most} MHz ({percent} %) at work; the card tells why."),
            N_(
                "See gpu.throttle for the reason and what to do. If it names the power limit and gpu.power is far "
                "below it, check the card's power cable."
            ),
        ),
        "stuck": Meaning(
            "warning",
            N_("{card}: stuck at {mhz} of {most} MHz ({percent} %) at work, and the card names no reason."),
            N_(
                "Give the clocks free: sudo nvidia-smi -i {index} -rgc, and -rac. If they stay low, restart the box "
                "and check the card's power cable."
            ),
        ),
        "not_told": Meaning("skipped", N_("{card} does not tell its clock.")),
    },
    "gpu.ecc": {
        "ok": Meaning("ok", N_("{card}: no uncorrected error since the driver was loaded; {corrected} corrected.")),
        "uncorrected": Meaning(
            "critical",
            N_("{card}: {uncorrected} uncorrected memory errors since the driver was loaded. Answers may be wrong."),
            N_(
                "Let nobody rely on answers since then. Restart the box; if errors come back, have the card replaced "
                "(nvidia-smi -q -d ECC, nvidia-bug-report.sh)."
            ),
        ),
        "uncorrected_beside": Meaning(
            "warning",
            N_(
                "{card}, which the model is not on: {uncorrected} uncorrected memory errors since the driver was "
                "loaded."
            ),
            N_(
                "Keep the model off this card until the box was restarted; if errors come back, have the card replaced "
                "(nvidia-smi -q -d ECC, nvidia-bug-report.sh)."
            ),
        ),
        "off": Meaning(
            "warning",
            N_("{card}: ECC is switched off, so memory errors go unnoticed."),
            N_("Switch it on and restart the box: sudo nvidia-smi -i {index} -e 1"),
        ),
        "no_ecc": Meaning("skipped", N_("{card} has no ECC that could be read.")),
        "not_told": Meaning(
            "unknown",
            N_("{card}: ECC is on, and the error counts cannot be read."),
            N_("Look at them by hand: nvidia-smi -q -d ECC"),
        ),
    },
    "gpu.rows": {
        "ok": Meaning("ok", N_("{card}: all of its memory is in use.")),
        "some": Meaning("ok", N_("{card}: {rows} rows remapped, {pages} pages retired, as is foreseen.")),
        "pending": Meaning(
            "warning",
            N_("{card}: faulty memory waits to be taken out of use ({rows} rows remapped, {pages} pages retired)."),
            N_("Restart the box tonight: it is done when the driver is loaded anew."),
        ),
        "many_pages": Meaning(
            "warning",
            N_("{card}: {pages} pages of memory are retired; a card can retire 64."),
            N_("Have the card replaced: make nvidia-bug-report.sh and ask the seller for an exchange (RMA)."),
        ),
        "failed_remap": Meaning(
            "critical",
            N_("{card}: faulty memory could not be taken out of use. Answers may be wrong."),
            N_("Take the card out of service and have it replaced (RMA): nvidia-smi -q -d ROW_REMAPPER is the proof."),
        ),
        "failed_remap_beside": Meaning(
            "warning",
            N_("{card}, which the model is not on: faulty memory could not be taken out of use."),
            N_("Keep the model off this card, and have it replaced (RMA): nvidia-smi -q -d ROW_REMAPPER is the proof."),
        ),
        "not_told": Meaning("skipped", N_("{card} does not tell of rows or pages out of use.")),
    },
    "gpu.persistence": {
        "ok": Meaning("ok", N_("{card}: the driver stays loaded.")),
        "off": Meaning(
            "warning",
            N_("{card}: the driver is unloaded whenever nobody uses it: a slow first start, and settings are lost."),
            N_("Keep it loaded: sudo systemctl enable --now nvidia-persistenced"),
        ),
        "not_told": Meaning("skipped", N_("{card} does not tell its persistence mode.")),
    },
}

ITEMS: dict[str, Words] = {
    "ecc_lifetime": Words(N_("{card}: {uncorrected} uncorrected errors over its life.")),
    "throttle_hw_thermal": Words(
        N_("too hot (hardware thermal limit)"),
        N_("  The card halves its clocks to protect itself: look at fans, filters and cooling now."),
    ),
    "throttle_sw_thermal": Words(
        N_("too hot (driver thermal limit)"), N_("  Look at the fans, the filters, and the room's cooling.")
    ),
    "throttle_hw_power_brake": Words(
        N_("power brake from the box's power supply"),
        N_("  The power supply asks for less: check that all its units work, and its load."),
    ),
    "throttle_hw_slowdown": Words(
        N_("hardware slowdown (heat or power)"),
        N_("  Look at the temperature, the card's power cable and the power supply."),
    ),
    "throttle_unknown": Words(
        N_("a reason this driver does not name"), N_("  See nvidia-smi -q -d PERFORMANCE, and update the driver.")
    ),
    "throttle_sw_power_cap": Words(
        N_("at its power limit"), N_("  Usual under full load. gpu.power warns where the limit was lowered.")
    ),
    "throttle_applications_clocks": Words(
        N_("clocks for applications are set"), N_("  Back to the usual ones: sudo nvidia-smi -rac")
    ),
    "throttle_sync_boost": Words(
        N_("in a boost group with other cards"), N_("  Take it out of the group with dcgmi, if nobody needs it.")
    ),
    "throttle_display_clocks": Words(
        N_("clocks follow a display"), N_("  Unplug the display: the box works headless.")
    ),
    "throttle_idle": Words(N_("nothing to do")),
}
