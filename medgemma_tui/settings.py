"""Settings: TOML file < environment (``MEDGEMMA_…``) < flags. An unknown key is an error that names it."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

SITE_FILE = Path("/etc/medgemma/medgemma.toml")
SERVICE_SOCKET = Path("/run/medgemma/gateway.sock")


class SettingsError(Exception):
    """The settings are not valid. ``problems`` has one plain line for each, naming the key."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = source
        self.problems = problems
        super().__init__(f"{source}: " + "; ".join(problems))


class Settings(BaseSettings):
    """Every setting, with its default. The docstring under each is its documentation."""

    model_config = SettingsConfigDict(env_prefix="MEDGEMMA_", extra="forbid", frozen=True)

    # --- which model, which service ---
    model: Path | None = None
    """Absolute directory of the model. None: the demo model."""
    demo: bool = False
    """Use the embedded demo model whatever ``model`` and ``engine_socket`` say."""
    socket: Path | None = None
    """The gateway's socket. None: the installed service's where it is there, else a private gateway is started."""
    box_name: str = ""
    """The name shown in the title. Empty: the host name."""

    # --- the screen ---
    lang: Literal["zh", "en"] | None = None
    """Language of the screen. None: from LC_ALL, LC_MESSAGES, LANG."""
    profile: Literal["auto", "color", "console16", "ascii"] = "auto"
    """Console profile. ``auto`` goes by TERM."""
    theme: str = "clinic-dark"
    """Colour theme of the ``color`` profile."""
    fps: Annotated[int, Field(ge=1, le=60)] = 30
    """Frames a second at most. What streams is painted every 100 ms anyway; the echo of a key waits for a frame."""
    keymap: dict[str, str] = {}
    """Key overrides, binding id to keys: ``{"trace.toggle" = "f2,ctrl+t"}``."""

    # --- the lock ---
    lock_after_s: Annotated[float, Field(ge=5, le=28800)] = 300.0
    """Seconds without a key after which the screen locks. Where the site's file sets it, it can only be shortened."""
    wipe_after_s: Annotated[float, Field(ge=5, le=28800)] = 900.0
    """Seconds locked after which the conversation is wiped and the session ends. The same holds for the site's file."""

    # --- answers ---
    thinking: Literal["auto", "force", "skip"] = "auto"
    """Whether the model is made to reason before it answers."""
    thinking_budget: Annotated[int, Field(ge=1)] | None = None
    """Tokens of reasoning after which its close is forced. None: whatever leaves a quarter of the reply, or 512 tokens
    if that is less, for the answer."""
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 2048
    """Tokens a reply may take, reasoning included: the reserve in the context meter."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0 is greedy: the same question gives the same answer."""
    instructions: Path | None = None
    """A file that replaces the built-in instructions to the model."""

    # --- the clinical layer ---
    clinical_dir: Path | None = None
    """Directory of the site's own lists (see README). None: /etc/medgemma/clinical where that is, else the user's
    data directory."""
    identifiers: Literal["warn", "mask", "block"] = "warn"
    """What is done where a question holds something that could identify the patient: ask first, mask it without
    asking, or refuse to send it. Where the site's file sets it, all else can only make it stricter."""
    sections: Literal["auto", "always", "off"] = "auto"
    """Four-part answers (definition, mechanism, differential, recommendation): where the question is of that kind,
    for every question, or never."""
    full_names: bool = True
    """Show the full name behind a bare abbreviation in an answer, marked as the program's own."""
    context_window: Annotated[int, Field(ge=512, le=131072)] | None = None
    """Use at most this many tokens of the model's window. None: all of it."""

    # --- the service ---
    max_model_len: Annotated[int, Field(ge=512, le=131072)] | None = None
    """Context window in tokens. None: from free VRAM, 8192 where unknown."""
    slots: Annotated[int, Field(ge=1, le=64)] = 8
    """Conversations stepped together."""
    short_cuts: bool = True
    """Let the decoder take its checked short cuts (recorded steps on CUDA, lean layers on the CPU). The tokens are the
    same without; switch off where the worker's log blames them."""
    queue_limit: Annotated[int, Field(ge=1)] = 32
    """Questions that may wait; one more is refused with its position."""
    socket_mode: Literal["0600", "0660", "0666"] | None = None
    """Permissions of the gateway's socket: 0600 private, 0660 for the group that owns it, 0666 for members of up to
    three groups: a file has one group only, so everybody may connect and the gateway answers members alone, by what
    the kernel says of them. None: 0666 where a group is set, else 0600."""
    engine_socket: Path | None = None
    """Socket of another OpenAI-compatible engine to use instead of our worker (for example ``vllm serve --uds``)."""
    restart_limit: Annotated[int, Field(ge=0)] = 5
    """Times the worker is restarted within ``restart_window_s`` before the gateway gives up and exits."""
    restart_window_s: Annotated[float, Field(gt=0)] = 600.0
    """Seconds over which restarts are counted."""
    users_group: str = ""
    """Members of this Unix group (a name or a number) may ask. With none of the three groups set: only the service's
    own user, root and, under ``socket_mode`` 0660, the group that owns the socket."""
    ops_group: str = ""
    """Members of this group see processes, metrics and health; they need not be users."""
    auditors_group: str = ""
    """Members of this group read the audit log; they need not be users."""
    queue_per_user: Annotated[int, Field(ge=1)] = 4
    """Questions that one user may have waiting."""
    parked_total_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024
    """All parked conversations together, in bytes."""
    audit_dir: Path | None = None
    """Directory of the audit log. None: the service manager's log directory (LOGS_DIRECTORY), else the user's state
    directory."""
    audit_key: Path | None = None
    """File of the audit log's key. None: ``audit.key`` beside the log's directory; made where it is missing."""
    audit_retention_days: Annotated[float, Field(ge=180)] = 180.0
    """Days that records are kept at least; older files are removed."""
    audit_max_bytes: Annotated[int, Field(ge=64 * 1024)] = 16 * 1024 * 1024
    """Size at which a new file of the log is begun."""
    health_dir: Path | None = None
    """Directory of health reports, the speed baseline and the model's hashes. None: ``health`` in the service manager's
    state directory (STATE_DIRECTORY), else in the user's."""
    golden_file: Path | None = None
    """The site's own golden questions, asked instead of the built-in ones (see README)."""
    when_unfit: Literal["answer", "refuse"] = "answer"
    """What becomes of questions while the last health run found the box not fit: answered under a banner that says so,
    or refused. Where the site's file sets it, it can only be made stricter."""
    telemetry_interval_s: Annotated[float, Field(ge=0.2, le=60)] = 1.0
    """Seconds between two samples of the GPU and the host."""
    session_ttl_s: Annotated[float, Field(gt=0)] = 1800.0
    """The longest a parked conversation is kept, in seconds."""
    session_max_bytes: Annotated[int, Field(ge=1024)] = 2 * 1024 * 1024
    """The largest parked conversation, in bytes."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags over environment over file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file()))

    @property
    def uses_demo(self) -> bool:
        """True when the embedded demo model answers."""
        return self.demo or (self.model is None and self.engine_socket is None)

    @property
    def uses_engine(self) -> bool:
        """True when another engine answers in place of our worker."""
        return self.engine_socket is not None and not self.demo


_STRICTER = ("warn", "mask", "block")  # each stricter than the one before
_UNFIT = ("answer", "refuse")
_SITE_STRICTER: dict[str, Callable[..., Any]] = {
    "when_unfit": lambda *policies: max(policies, key=_UNFIT.index),
    "identifiers": lambda *policies: max(policies, key=_STRICTER.index),
    "lock_after_s": min,
    "wipe_after_s": min,
}
"""What can only be made stricter than the site's file says, and which of two values is."""
_SITE_ALONE = (
    "clinical_dir",  # its lists hold the labels that the guard looks for
    "audit_dir", "audit_key", "audit_retention_days", "audit_max_bytes",
    "users_group", "ops_group", "auditors_group", "health_dir", "golden_file",
)  # fmt: skip
"""What nobody else sets where there is a site's file."""


class _SiteFile(Settings):
    """What the site's file says, and nothing else does."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given."""
        return (init_settings,)


_UNKNOWN_ENV_ALLOWED = {"MEDGEMMA_CONFIG"}


def config_file() -> Path:
    """The settings file: MEDGEMMA_CONFIG, else the site's file, else the user's.

    Raises SettingsError where the site's place cannot be looked into.
    """
    named = os.environ.get("MEDGEMMA_CONFIG")
    if named:
        return Path(named)
    try:
        SITE_FILE.stat()
    except (FileNotFoundError, NotADirectoryError):
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - Path's may raise
        return Path(base) / "medgemma" / "medgemma.toml"
    except OSError as error:  # there, perhaps, and not for us to see: its settings must not be passed over silently
        raise SettingsError(str(SITE_FILE), [f"cannot be read: {error.strerror}"]) from None
    return SITE_FILE


def load(**flags: Any) -> Settings:
    """Read the settings; flags that are None do not count.

    ``demo`` or ``model`` as a flag means that model and no other: where file or environment name another model, a
    service or an engine, that does not count, but for a ``socket`` that is a flag, too.

    Raises SettingsError, with a line for each wrong or unknown key, also where the file is not TOML or a
    ``MEDGEMMA_`` variable has no such setting. What the site's file says of ``identifiers``, ``lock_after_s`` and
    ``wipe_after_s`` holds in any case, also where MEDGEMMA_CONFIG names another file: all else can only make it
    stricter. Where there is a site's file, the clinical lists, the audit log and the groups are its alone.
    """
    source = str(config_file())
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith("MEDGEMMA_")
        and name not in _UNKNOWN_ENV_ALLOWED
        and name.removeprefix("MEDGEMMA_").lower() not in Settings.model_fields
    )
    if unknown:
        raise SettingsError("environment", [f"{name}: no such setting" for name in unknown])
    if os.environ.get("MEDGEMMA_CONFIG"):
        if not os.path.exists(source):  # noqa: PTH110 - Path.exists raises where it may not look
            raise SettingsError(source, ["MEDGEMMA_CONFIG names a file that is not there"])
        if Path(source).is_dir():
            raise SettingsError(source, ["MEDGEMMA_CONFIG names a directory, not a file"])
    given = {name: value for name, value in flags.items() if value is not None}
    if "demo" in given or "model" in given:
        given = {"demo": False, "model": None, "socket": None, "engine_socket": None, **given}
    try:
        loaded = Settings(**given)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or "settings"
            problems.append(f"{_origin(key.split('.')[0], flags)}: {key}: {item['msg']}")
        raise SettingsError("settings", problems) from None
    except SourceError as error:  # a variable that should be JSON and is not; its text names the field
        raise SettingsError("environment", [str(error)]) from None
    except (ValueError, OSError) as error:  # tomllib's error is a ValueError
        raise SettingsError(source, [str(error)]) from None
    return _by_site(loaded, flags)


def _by_site(loaded: Settings, flags: dict[str, Any]) -> Settings:
    """The settings as the site allows them. Raises SettingsError for one that is the site's alone, by name."""
    site = _site_policy()
    if site is None:
        return loaded
    used: dict[str, Any] = {}
    problems = []
    for name in _SITE_ALONE:
        used[name] = getattr(site, name)
        if name in loaded.model_fields_set and getattr(loaded, name) != used[name]:
            problems.append(f"{_origin(name, flags)}: {name}: only {SITE_FILE} may set it on this system")
    if problems:
        raise SettingsError("settings", problems)
    for name in site.model_fields_set.intersection(_SITE_STRICTER):
        stricter = _SITE_STRICTER[name]
        used[name] = stricter(getattr(loaded, name), getattr(site, name))
    return loaded.model_copy(update=used)


def _site_policy() -> Settings | None:
    """What the site's own file says of the settings that it has a say in; None where there is no such file.

    Raises SettingsError.
    """
    try:
        said = tomllib.loads(SITE_FILE.read_text(encoding="utf-8"))
        return _SiteFile(**{name: value for name, value in said.items() if name in (*_SITE_STRICTER, *_SITE_ALONE)})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(str(SITE_FILE), [f"cannot be read: {error.strerror}"]) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise SettingsError(str(SITE_FILE), problems) from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise SettingsError(str(SITE_FILE), [str(error)]) from None


def _origin(name: str, flags: dict[str, Any]) -> str:
    """Where a setting's value came from."""
    if flags.get(name) is not None:
        return "command line"
    return "environment" if f"MEDGEMMA_{name.upper()}" in os.environ else str(config_file())


def run_dir() -> Path:
    """The private run directory (0700) for a gateway started by the screen: XDG_RUNTIME_DIR, else /tmp by uid.

    Raises SettingsError where it cannot be made, belongs to somebody else, or is open to others.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        path = Path(base) / "medgemma"
    else:
        path = Path(tempfile.gettempdir()) / f"medgemma-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except FileExistsError:  # a file, or a link to nowhere
        raise SettingsError(str(path), ["is there and is not a directory; remove it"]) from None
    except OSError as error:
        raise SettingsError(str(path), [f"cannot be made: {error.strerror}"]) from None
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or not path.is_dir() or path.is_symlink():
        problem = "not a private directory of this user (0700); remove it, or set XDG_RUNTIME_DIR to another place"
        raise SettingsError(str(path), [problem])
    return path
