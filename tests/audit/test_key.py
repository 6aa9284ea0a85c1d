"""The key: who may read it, how it comes to be, and that what it signs for one use is worth nothing for another."""

import hashlib
import hmac
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.audit import key
from medgemma_tui.audit.errors import AuditError


def refused(path):
    with pytest.raises(AuditError) as told:
        key.load(path)
    return told.value.code


def test_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "state" / "audit.key"
    made = key.create(path)
    assert path.stat().st_mode & 0o7777 == 0o400
    assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert key.create(path).secret == key.load(path).secret == made.secret
    assert [each.name for each in path.parent.iterdir()] == ["audit.key"]
    assert len(made.secret) == 32
    assert key.create(tmp_path / "other").secret != made.secret


def test_of_many_who_make_it_at_once_all_get_the_same(tmp_path):
    found = []
    threads = [threading.Thread(target=lambda: found.append(key.create(tmp_path / "k").secret)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o600 | 0o020, 0o444])
def test_not_used_where_others_may_read_it(tmp_path, mode):
    path = tmp_path / "k"
    key.create(path)
    path.chmod(mode)
    assert refused(path) == "key_readable"


def test_what_is_no_key_is_told(tmp_path):
    path = tmp_path / "k"
    assert refused(path) == "no_key"
    for content in (b"", b"ab", b"0" * 63, b"0" * 65, b"G" * 64, b"0" * 64 + b"\n\n", b"\0" * 64):
        path.write_bytes(content)
        path.chmod(0o600)
        assert refused(path) == "bad_key"
    assert refused(tmp_path) in ("bad_key", "io_error")
    path.unlink()
    (tmp_path / "f").write_bytes(b"")
    assert refused(tmp_path / "f" / "k") == "no_directory"


def test_a_key_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AuditError) as told:
        key.create(tmp_path / "k")
    assert told.value.code == "disk_full"
    assert list(tmp_path.iterdir()) == []


def test_it_is_never_printed(tmp_path):
    made = key.create(tmp_path / "k")
    told = f"{made!r} {made} {[made]}"
    assert made.secret.hex() not in told
    assert repr(made.secret) not in told


def test_its_name_gives_nothing_away():
    secret = bytes(range(32))
    made = key.Key.of(secret)
    assert len(made.id) == 16
    assert made.id not in hashlib.sha256(secret).hexdigest()
    assert made.id != key.Key.of(bytes(32)).id


@given(st.text())
def test_what_it_signs_for_one_use_is_worth_nothing_for_another(text):
    made = key.Key.of(bytes(32))
    body = text.encode("utf-8", "surrogatepass")
    signed = {
        made.digest(text),
        made.chain_mac(body),
        made.anchor_mac(body),
        hmac.digest(bytes(32), body, "sha256").hex(),
    }
    assert len(signed) == 4
    assert made.digest(text) != key.Key.of(b"1" * 32).digest(text)
