"""Settings: file < environment < flags; anything unknown or wrong is told by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medgemma_tui import launch, settings


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("MEDGEMMA_"):
            monkeypatch.delenv(name)
    path = tmp_path / "medgemma.toml"
    path.write_text("")
    monkeypatch.setenv("MEDGEMMA_CONFIG", str(path))
    return path


def test_flags_over_environment_over_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("max_tokens = 100\nslots = 3\nfps = 5\n")
    monkeypatch.setenv("MEDGEMMA_SLOTS", "4")
    monkeypatch.setenv("MEDGEMMA_FPS", "6")
    loaded = settings.load(fps=7)
    assert (loaded.max_tokens, loaded.slots, loaded.fps) == (100, 4, 7)


@pytest.mark.parametrize("flag", [{"demo": True}, {"model": Path("/elsewhere")}])
def test_a_model_flag_means_that_model_and_no_other(
    config: Path, monkeypatch: pytest.MonkeyPatch, flag: dict[str, Path | bool]
) -> None:
    config.write_text('demo = true\nmodel = "/site"\nsocket = "/s.sock"\nengine_socket = "/e.sock"\n')
    monkeypatch.setenv("MEDGEMMA_SOCKET", "/t.sock")
    monkeypatch.setenv("MEDGEMMA_DEMO", "1")
    loaded = settings.load(**flag)
    assert (loaded.demo, loaded.model) == (flag.get("demo", False), flag.get("model"))
    assert not loaded.uses_engine
    assert launch.service_socket(loaded) is None
    assert settings.load(**flag, socket=Path("/flag.sock")).socket == Path("/flag.sock")
    assert launch.service_socket(settings.load()) == Path("/t.sock")


def test_demo_anywhere_beats_an_engine(config: Path) -> None:
    config.write_text('demo = true\nengine_socket = "/e.sock"\n')
    loaded = settings.load()
    assert loaded.uses_demo
    assert not loaded.uses_engine


def test_a_variable_that_is_not_json_is_blamed_on_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDGEMMA_KEYMAP", "f2")
    with pytest.raises(settings.SettingsError, match="keymap") as caught:
        settings.load()
    assert caught.value.source == "environment"


def test_a_directory_is_no_settings_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGEMMA_CONFIG", str(config.parent))
    with pytest.raises(settings.SettingsError, match="directory"):
        settings.load()


def test_places_that_may_not_be_looked_into_are_told_in_a_sentence(tmp_path: Path) -> None:
    """As another user, in a process of its own: root may look everywhere."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    code = f"""
import os, sys
from pathlib import Path
from medgemma_tui import launch, settings
settings.SITE_FILE = Path({str(closed)!r}, "medgemma.toml")
launch.SERVICE_SOCKET = Path({str(closed)!r}, "gateway.sock")
os.environ["MEDGEMMA_CONFIG"] = "/dev/null"
loaded = settings.load()
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
else:
    os.chmod({str(closed)!r}, 0)
print(launch.service_socket(loaded))
del os.environ["MEDGEMMA_CONFIG"]
try:
    settings.load()
except settings.SettingsError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        str(closed / "gateway.sock"),  # asked, and refused there; not passed over for the demo
        f"{closed / 'medgemma.toml'}: cannot be read: Permission denied",
    ]


@pytest.mark.parametrize(
    ("site", "own", "used"),
    [
        ("block", "warn", "block"), ("block", "mask", "block"), ("mask", "warn", "mask"), ("mask", "block", "block"),
        ("warn", "mask", "mask"), ("warn", "warn", "warn"), ("mask", None, "mask"), (None, "mask", "mask"),
        (None, None, "warn"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["flag", "environment", "file"])
def test_the_sites_policy_is_only_made_stricter(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    site: str | None,
    own: str | None,
    used: str,
    way: str,
) -> None:
    site_file = tmp_path / "site.toml"
    site_file.write_text(f'identifiers = "{site}"\n' if site else "slots = 3\n")
    monkeypatch.setattr(settings, "SITE_FILE", site_file)
    if own and way == "file":
        config.write_text(f'identifiers = "{own}"\n')  # MEDGEMMA_CONFIG names another file than the site's
    elif own and way == "environment":
        monkeypatch.setenv("MEDGEMMA_IDENTIFIERS", own)
    given = {"identifiers": own} if own and way == "flag" else {}
    assert settings.load(**given).identifiers == used
    if way != "file":  # nor where the site's file is the one that is read
        monkeypatch.delenv("MEDGEMMA_CONFIG")
        assert settings.load(**given).identifiers == used


@pytest.mark.parametrize("text", ['identifiers = "none"\n', "identifiers = 3\n", "identifiers = = 3\n", 'a = "\xff"'])
def test_a_site_file_whose_policy_cannot_be_read_is_an_error(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    site_file = tmp_path / "site.toml"
    site_file.write_text(text, encoding="latin-1")
    monkeypatch.setattr(settings, "SITE_FILE", site_file)
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(identifiers="block")
    assert str(site_file) in str(caught.value)


@pytest.fixture
def site(config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A site's file beside the one that MEDGEMMA_CONFIG names."""
    path = tmp_path / "site.toml"
    path.write_text("")
    monkeypatch.setattr(settings, "SITE_FILE", path)
    return path


@pytest.mark.parametrize(("site_s", "own_s", "used_s"), [(60, 300, 60), (60, 30, 30), (60, None, 60), (None, 900, 900)])
@pytest.mark.parametrize("name", ["lock_after_s", "wipe_after_s"])
@pytest.mark.parametrize("way", ["flag", "environment", "file"])
def test_the_lock_only_comes_earlier(
    config: Path,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    site_s: int | None,
    own_s: int | None,
    used_s: int,
    name: str,
    way: str,
) -> None:
    if site_s is not None:
        site.write_text(f"{name} = {site_s}\n")
    if own_s is not None and way == "file":
        config.write_text(f"{name} = {own_s}\n")
    elif own_s is not None and way == "environment":
        monkeypatch.setenv(f"MEDGEMMA_{name.upper()}", str(own_s))
    given = {name: own_s} if way == "flag" else {}
    assert getattr(settings.load(**given), name) == used_s


ALONE = {
    "clinical_dir": "/elsewhere", "audit_dir": "/elsewhere", "audit_key": "/elsewhere", "audit_retention_days": 200,
    "audit_max_bytes": 70_000, "users_group": "wheel", "ops_group": "wheel", "auditors_group": "wheel",
}  # fmt: skip


@pytest.mark.parametrize("says", [True, False], ids=["the site says it", "the site says nothing of it"])
@pytest.mark.parametrize("way", ["flag", "environment", "file"])
@pytest.mark.parametrize("name", ALONE)
def test_what_is_the_sites_alone_is_refused_from_elsewhere_by_name(
    config: Path, site: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str, says: bool
) -> None:
    own = ALONE[name]
    if says:
        values = {"audit_retention_days": "365", "audit_max_bytes": "90000"}
        site.write_text(f"{name} = {values.get(name, chr(34) + '/srv/site' + chr(34))}\n")
        assert str(getattr(settings.load(), name)) != str(own)  # taken from the site's where nobody says otherwise
    if way == "file":
        config.write_text(f"{name} = {own!r}\n")
    elif way == "environment":
        monkeypatch.setenv(f"MEDGEMMA_{name.upper()}", str(own))
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(**({name: own} if way == "flag" else {}))
    assert f"{name}: only {site}" in str(caught.value)
    assert {"flag": "command line", "environment": "environment", "file": str(config)}[way] in str(caught.value)


def test_the_sites_own_word_is_used_whoever_repeats_it(
    config: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write_text('clinical_dir = "/srv/site"\nusers_group = "clinic"\n')
    config.write_text('clinical_dir = "/srv/site"\n')
    loaded = settings.load()
    assert (loaded.clinical_dir, loaded.users_group) == (Path("/srv/site"), "clinic")
    site.unlink()  # no site: everything is the user's own
    config.write_text('clinical_dir = "/mine"\n')
    assert settings.load().clinical_dir == Path("/mine")


@pytest.mark.parametrize(
    ("text", "named"),
    [("slotts = 3\n", "slotts"), ('slots = "many"\n', "slots"), ("fps = 600\n", "fps"), ("fps = = 3\n", "line 1")],
)
def test_a_wrong_file_is_told_by_key(config: Path, text: str, named: str) -> None:
    config.write_text(text)
    with pytest.raises(settings.SettingsError) as caught:
        settings.load()
    assert named in str(caught.value)
    assert str(config) in str(caught.value)


def test_a_named_file_that_is_not_there_is_an_error(config: Path) -> None:
    config.unlink()
    with pytest.raises(settings.SettingsError):
        settings.load()


def test_run_dir_is_private_and_refuses_another_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert settings.run_dir().stat().st_mode & 0o777 == 0o700
    (tmp_path / "medgemma").chmod(0o755)
    with pytest.raises(settings.SettingsError, match="private"):
        settings.run_dir()


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/nowhere")])
def test_what_is_no_run_directory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    make(tmp_path / "medgemma")
    with pytest.raises(settings.SettingsError, match="not a directory"):
        settings.run_dir()
