"""Outcomes of the check ``gpu.xid``, and what each Xid event of ``data/xid.toml`` means and asks for."""

from __future__ import annotations

from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_

MEANINGS: dict[str, Meaning] = {
    "ok": Meaning("ok", N_("No Xid event in the kernel's log since {since}.")),
    "noted": Meaning("ok", N_("Xid events that ask for nothing by themselves; the last is Xid {code} at {time}.")),
    "hardware": Meaning(
        "critical",
        N_("Xid {code} on {card} at {time}: the card is, or was, at fault."),
        N_("Do what stands below the event before the clinic relies on this box."),
    ),
    "hardware_beside": Meaning(
        "warning",
        N_("Xid {code} on {card} at {time}: that card, which the model is not on, is or was at fault."),
        N_("Do what stands below the event, and keep the model off that card until then."),
    ),
    "hardware_old": Meaning(
        "warning",
        N_("Xid {code} on {card} at {time}, more than a day ago: the card was at fault, and the box runs on since."),
        N_("If nothing was done about it, do what stands below the event; a restart of the box clears this."),
    ),
    "application": Meaning(
        "warning",
        N_("Xid {code} on {card} at {time}: a program on the card failed."),
        N_("Do what stands below the event. If it comes again without a new program, the card may be at fault."),
    ),
    "other": Meaning(
        "warning",
        N_("Xid {code} on {card} at {time}: an event that this program has no words for."),
        N_("Look it up in NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors), and run nvidia-bug-report.sh."),
    ),
    "partial": Meaning(
        "warning",
        N_("No Xid event since {since}; what the kernel wrote before that is lost, and it is less than a day."),
        N_(
            "Keep the kernel's log: make the directory /var/log/journal, and put the service's user into the group "
            "systemd-journal."
        ),
    ),
    "unreadable": Meaning(
        "warning",
        N_("The kernel's log cannot be read (/dev/kmsg: {kmsg}; journalctl: {journal}), so faults go unnoticed."),
        N_(
            "Let the service read it: SupplementaryGroups=systemd-journal in its unit, or run this as root. By hand: "
            "sudo dmesg | grep Xid"
        ),
    ),
}

_RESTART_WORKER = N_("  Restart the service: systemctl restart medgemma.")
_FOLLOW = N_("  The consequence of another event, or of a program that was ended: act on the other one.")
_RESET = N_(
    "  Restart the box (or stop all that uses the card and reset it). If it comes back, have the card replaced."
)
_RESTART_BOX = N_("  Switch the box off and on. Check the card's seat and power cable; if it comes back, service.")

ITEMS: dict[str, Words] = {
    "xid_13": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a program's kernel failed (graphics engine exception)."),
        _RESTART_WORKER,
    ),
    "xid_31": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a program used an address that is not its own (page fault)."),
        _RESTART_WORKER,
    ),
    "xid_32": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a broken command stream reached the card."), _RESTART_WORKER
    ),
    "xid_43": Words(N_("Xid {code}, {card}, {time}, {count} times: the card stopped a program's work."), _FOLLOW),
    "xid_45": Words(N_("Xid {code}, {card}, {time}, {count} times: a program's work was cleared away."), _FOLLOW),
    "xid_46": Words(N_("Xid {code}, {card}, {time}, {count} times: the card stopped processing."), _RESET),
    "xid_48": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a memory error that could not be corrected (double-bit ECC)."),
        _RESET,
    ),
    "xid_54": Words(
        N_("Xid {code}, {card}, {time}, {count} times: the card's extra power cable is not connected."),
        N_("  Switch the box off and connect the card's power cable."),
    ),
    "xid_62": Words(N_("Xid {code}, {card}, {time}, {count} times: the card's own controller halted."), _RESET),
    "xid_63": Words(
        N_("Xid {code}, {card}, {time}, {count} times: faulty memory was noted down, to be taken out of use."),
        N_("  Restart the box at the next occasion; gpu.rows tells whether that is still to be done."),
    ),
    "xid_64": Words(
        N_("Xid {code}, {card}, {time}, {count} times: faulty memory could not be taken out of use."),
        N_("  Restart the box. If gpu.rows tells of a failed remap, or it comes back, have the card replaced (RMA)."),
    ),
    "xid_69": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a program gave the card a command of a wrong class."),
        _RESTART_WORKER,
    ),
    "xid_74": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a fault on the link between cards (NVLink)."),
        N_("  Restart the box and check the NVLink bridge; nvidia-smi nvlink -e counts the errors. Then service."),
    ),
    "xid_79": Words(
        N_("Xid {code}, {card}, {time}, {count} times: the card fell off the bus, the box cannot reach it any more."),
        _RESTART_BOX,
    ),
    "xid_92": Words(
        N_("Xid {code}, {card}, {time}, {count} times: many memory errors that were corrected."),
        N_("  Nothing now. If Xid 48 or 64 follows, have the card replaced."),
    ),
    "xid_94": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a memory error that hit one program only (contained)."),
        _RESTART_WORKER,
    ),
    "xid_95": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a memory error that may have hit every program (uncontained)."),
        _RESET,
    ),
    "xid_109": Words(
        N_("Xid {code}, {card}, {time}, {count} times: the card did not change from one program to the next in time."),
        _RESET,
    ),
    "xid_110": Words(N_("Xid {code}, {card}, {time}, {count} times: a security fault on the card."), _RESET),
    "xid_119": Words(
        N_("Xid {code}, {card}, {time}, {count} times: the card's system processor (GSP) does not answer."), _RESET
    ),
    "xid_120": Words(
        N_("Xid {code}, {card}, {time}, {count} times: an error of the card's system processor (GSP)."), _RESET
    ),
    "xid_136": Words(
        N_("Xid {code}, {card}, {time}, {count} times: the link between cards (NVLink) could not be set up."), _RESET
    ),
    "xid_137": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a program used memory of another card that it may not use."),
        _RESTART_WORKER,
    ),
    "xid_140": Words(
        N_("Xid {code}, {card}, {time}, {count} times: a memory error that could not be recovered from."), _RESET
    ),
    "xid_143": Words(N_("Xid {code}, {card}, {time}, {count} times: the card could not be started."), _RESET),
    "xid_154": Words(
        N_("Xid {code}, {card}, {time}, {count} times: to recover the card the driver asks for: {asks}."),
        N_(
            "  Do that: GPU reset, or restart the box. None means that it is done. To see it: "
            "sudo dmesg | grep 'Xid.* 154'"
        ),
    ),
    "xid_158": Words(N_("Xid {code}, {card}, {time}, {count} times: the card timed out for good."), _RESET),
    "xid_other": Words(
        N_("Xid {code}, {card}, {time}, {count} times: not in this program's table."),
        N_("  Look it up in NVIDIA's Xid catalogue: docs.nvidia.com/deploy/xid-errors"),
    ),
}
