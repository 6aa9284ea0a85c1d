"""Outcomes of the checks of the group ``service``."""

from __future__ import annotations

from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_
from medgemma_tui.problems import AUDIT_PROBLEMS, MODEL_PROBLEMS

GROUP = "service"
TITLE = N_("Service")
TITLES: dict[str, str] = {
    "service.settings": N_("Settings"),
    "service.socket": N_("The gateway's socket"),
    "service.gateway": N_("Gateway"),
    "service.worker": N_("Model process"),
    "service.queue": N_("Queue"),
    "service.parked": N_("Parked conversations"),
}

_LOG = N_("Read why: journalctl -u medgemma -n 50. Then start it: systemctl restart medgemma.")
_NOT_OPS = Meaning(
    "unknown",
    N_("The service does not tell this user its figures."),
    N_("Run it as a member of ops_group, as the service's user, or as root."),
)

MEANINGS: dict[str, dict[str, Meaning]] = {
    "service.settings": {
        "ok": Meaning("ok", N_("The settings are valid, and what they name can be read.")),
        "invalid": Meaning(
            "critical",
            N_("The settings are not valid ({count})."),
            N_(
                "Correct each line below in /etc/medgemma/medgemma.toml (medgemma-tui locate shows which file is read)."
            ),
        ),
        "doubtful": Meaning(
            "warning",
            N_("The settings work, but hardly as they were meant ({count})."),
            N_("Decide each line below in /etc/medgemma/medgemma.toml, and restart the service."),
        ),
    },
    "service.socket": {
        "ok": Meaning(
            "ok", N_("{path} has mode {mode}, belongs to {owner}, and nobody else can put one in its place.")
        ),
        "private_later": Meaning("skipped", N_("A gateway started for one user makes a private socket of its own.")),
        "directory_later": Meaning("skipped", N_("{path} is made by the service manager when it starts the service.")),
        "directory_ok": Meaning("ok", N_("{path} is there for the socket, and nobody else may write in it.")),
        "no_directory": Meaning(
            "critical",
            N_("There is no directory {path} for the socket."),
            N_("Make it, owned by the service's user, mode 0755; under systemd by RuntimeDirectory=medgemma."),
        ),
        "directory_open": Meaning(
            "critical",
            N_("Others may write in {path} (mode {mode}): they could put a socket of theirs in the service's place."),
            N_("Take the right away: chmod go-w {path}"),
        ),
        "directory_foreign": Meaning(
            "critical",
            N_("{path} belongs to {owner}, who could put a socket of theirs in the service's place."),
            N_("Give it to root or to the service's user with chown, or set socket to a path elsewhere."),
        ),
        "directory_shared": Meaning(
            "warning",
            N_("Everybody may write in {path}: while the service is down, anybody can put a socket in its place."),
            N_("Set socket to a path in a directory of the service's own, such as /run/medgemma/gateway.sock."),
        ),
        "missing": Meaning("critical", N_("There is no socket {path}: the service does not run."), _LOG),
        "not_a_socket": Meaning(
            "critical",
            N_("{path} is there and is not a socket."),
            N_("See what it is and who put it there (ls -l), remove it, and restart the service."),
        ),
        "dead": Meaning("critical", N_("{path} is there, but nobody listens: the service has died."), _LOG),
        "closed": Meaning(
            "unknown",
            N_("{path} (mode {mode}, owner {owner}) is closed to this user."),
            N_("Run it as a member of ops_group, as the service's user, or as root."),
        ),
        "replaced": Meaning(
            "critical",
            N_("{path} belongs to {owner}, but it is {listener} who listens there."),
            N_("Ask no question here. Find the process with ss -xlp, and restart the service."),
        ),
        "too_open": Meaning(
            "critical",
            N_("{path} has mode {mode}, which lets more users in than the settings' {wanted}."),
            N_("Restart the service, which makes it anew, and find out who changed it."),
        ),
        "too_closed": Meaning(
            "warning",
            N_("{path} has mode {mode}, so that users whom the settings' {wanted} let in stay outside."),
            N_("Restart the service, which makes it anew, and find out who changed it."),
        ),
        "settings_invalid": Meaning(
            "unknown",
            N_("{path} has mode {mode}; the settings do not say which one it should have."),
            N_("Correct what service.settings says, and run this again."),
        ),
    },
    "service.gateway": {
        "ok": Meaning("ok", N_("It answered within {seconds} s.")),
        "slow": Meaning(
            "warning",
            N_("It answered, but took {seconds} s."),
            N_("See what keeps the box busy (top, iotop); if nothing does: systemctl restart medgemma."),
        ),
        "not_running": Meaning("critical", N_("No service runs on this box."), _LOG),
        "unreachable": Meaning("critical", N_("Nobody answers on {socket}."), _LOG),
        "hung": Meaning(
            "critical",
            N_("{socket} takes connections, but the gateway has not answered for {seconds} s: it hangs."),
            N_("Restart it: systemctl restart medgemma. Before that, make a support bundle (health --bundle FILE)."),
        ),
        "forbidden": Meaning(
            "unknown",
            N_("The service on {socket} does not let this user ask."),
            N_("Run it as a member of one of the service's groups, as its user, or as root."),
        ),
        "bad_reply": Meaning(
            "critical",
            N_("What answers on {socket} is not this program's gateway, or broke off ({type})."),
            N_("See who listens there (ss -xlp), and restart the service: systemctl restart medgemma."),
        ),
        "audit_full": Meaning(
            "critical",
            N_("It takes no question: the audit log cannot be written ({path})."),
            N_("Do what the line below says; questions are taken again by themselves."),
        ),
    },
    "service.worker": {
        "ok": Meaning("ok", N_("{model} is loaded.")),
        "engine": Meaning("ok", N_("Another engine answers in the model process's place: {model}.")),
        "engine_lost": Meaning(
            "critical",
            N_("The engine that the settings name does not answer: {detail}."),
            N_("Start that engine, and look at its own log; engine_socket in the settings says where it is expected."),
        ),
        "restarted": Meaning(
            "warning",
            N_("{model} is loaded, but its process was restarted ({restarts} times; the last {hours} hours ago)."),
            N_("Read why before the clinic opens: journalctl -u medgemma | grep -i worker."),
        ),
        "on_cpu": Meaning(
            "critical",
            N_("{model} is loaded, but runs on the CPU although a GPU is there: answers take minutes."),
            N_(
                "Read why: journalctl -u medgemma | grep -i gpu. PyTorch needs its CUDA build, a driver that is new "
                "enough (gpu.driver), and /dev/nvidia-uvm: nvidia-modprobe -u makes it, and the unit must allow it "
                "(DeviceAllow=char-nvidia-uvm rw). Then: systemctl restart medgemma."
            ),
        ),
        "starting": Meaning(
            "unknown",
            N_("The model process is starting."),
            N_("Run this again in a minute; if it stays so, read journalctl -u medgemma -n 50."),
        ),
        "loading": Meaning(
            "unknown",
            N_("The model is being loaded: {percent} %."),
            N_("Run this again in a minute; if it stays so, read journalctl -u medgemma -n 50."),
        ),
        "lost": Meaning(
            "critical",
            N_("The model process is gone and is being restarted ({restarts} times so far): {detail}."),
            N_("Run this again in a minute; if it stays so, read journalctl -u medgemma -n 50."),
        ),
        "given_up": Meaning(
            "critical",
            N_("The model process could not be kept running ({restarts} restarts): {detail}."),
            _LOG,
        ),
        "out_of_memory": Meaning(
            "critical",
            N_("The model process ran out of memory."),
            N_(
                "See what holds it (gpu.holders, host.memory in this report), free it, and: systemctl restart medgemma."
            ),
        ),
        "out_of_memory_gpu_loading": Meaning(
            "critical",
            N_("There is not enough GPU memory to load the model."),
            N_(
                "Free memory on the card (gpu.holders in this report shows who holds it), or set fewer slots or a "
                "smaller max_model_len; then: systemctl restart medgemma."
            ),
        ),
        "out_of_memory_host_loading": Meaning(
            "critical",
            N_("This box has not enough memory to load the model."),
            N_("Free memory, or set fewer slots or a smaller max_model_len; then: systemctl restart medgemma."),
        ),
        "model_invalid": Meaning(
            "critical",
            N_("The model cannot be loaded."),
            N_("Do what the line below says, then: systemctl restart medgemma."),
        ),
    },
    "service.queue": {
        "ok": Meaning("ok", N_("{waiting} of at most {limit} questions wait; {active} of {slots} places are taken.")),
        "full": Meaning(
            "warning",
            N_(
                "The queue stayed full for {seconds} s: {waiting} questions wait, {active} of {slots} places are taken."
            ),
            N_("See who asks (medgemma-tui audit show --event question); a batch job belongs after hours."),
        ),
        "stuck": Meaning(
            "critical",
            N_("{waiting} questions wait, and for {seconds} s none was taken although the model is ready."),
            N_("Restart the service: systemctl restart medgemma. Then make a support bundle."),
        ),
        "forbidden": _NOT_OPS,
    },
    "service.parked": {
        "ok": Meaning("ok", N_("{count} are parked; they take {share} % of {total} MiB.")),
        "counted": Meaning("ok", N_("{count} are parked.")),
        "nearly_full": Meaning(
            "warning",
            N_("{count} are parked and take {share} % of {total} MiB: soon none more is taken in."),
            N_("Raise parked_total_bytes, or lower session_ttl_s, in the settings, and restart the service."),
        ),
        "forbidden": _NOT_OPS,
    },
}

ITEMS: dict[str, Words] = {
    "settings_problem": Words("{problem}"),
    "settings_model_unused": Words(
        N_("model is set, and is not used: engine_socket ({engine}) answers."), N_("Take one of the two out.")
    ),
    "settings_contradiction": Words(
        N_("{larger} is not below {smaller}, so that its value can never count."),
        N_("Lower the one or raise the other."),
    ),
    **{f"worker_model_{code}": Words(text) for code, text in MODEL_PROBLEMS.items()},
    **{f"audit_full_{code}": Words(why, action) for code, (why, action) in AUDIT_PROBLEMS.items()},
}
