"""Every file against the manifest, and against what was found first; read again only where it may have changed."""

from __future__ import annotations

import json
import os
import threading

import pytest
from health_examining import examine

from medgemma_tui import model_manifest
from medgemma_tui.health.checks.model import CHECKS, hashes
from medgemma_tui.model_manifest import Manifest

WEIGHTS = "model.safetensors"


def rewrite(file, change):
    """Replace a file's bytes in another file of its name: the shipped one is linked to it."""
    raw = bytearray(file.read_bytes())
    change(raw)
    file.unlink()
    file.write_bytes(raw)


def flip(raw):
    raw[2_000_000] ^= 1


def look(context, model, **more):
    return examine(context(model=model, **more), CHECKS, "model.hashes")


def test_the_demo_models_own_manifest_is_right(context):
    found = examine(context(full=True), CHECKS, "model.hashes")
    assert found.told == ("ok", "ok")
    assert found.text == "Every byte of 7 files is as the manifest says."


def test_what_is_untouched_is_not_read_again_but_in_a_full_run(context, model):
    assert look(context, model).figure("hashed_bytes").value > 2_900_000
    found = look(context, model)
    assert found.told == ("unchanged", "ok")
    assert "7 of them are untouched" in found.text
    assert found.figure("hashed_bytes").value == 0
    found = look(context, model, full=True)
    assert found.told == ("ok", "ok")
    assert found.figure("hashed_bytes").value > 2_900_000


@pytest.mark.parametrize("known", [False, True])
def test_one_bit_of_the_weights(context, model, known):
    if known:
        look(context, model)
    before = (model / WEIGHTS).stat()
    rewrite(model / WEIGHTS, flip)
    os.utime(model / WEIGHTS, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = look(context, model)
    assert found.told == ("wrong_hash", "critical")
    assert WEIGHTS in found.text
    assert f"Copy {WEIGHTS} again" in found.advice
    assert look(context, model).told == ("wrong_hash", "critical")  # by what is known of it now
    assert examine(context(model=model), CHECKS, "model.files").told == ("ok", "ok")  # headers cannot tell


def test_a_byte_written_in_place_with_its_time_put_back(context, tmp_path, model):
    rewrite(model / WEIGHTS, lambda raw: None)
    look(context, model)
    before = (model / WEIGHTS).stat()
    with (model / WEIGHTS).open("r+b") as stream:
        stream.seek(2_000_000)
        stream.write(b"\xff")
    os.utime(model / WEIGHTS, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (model / WEIGHTS).stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)
    assert look(context, model).told == ("wrong_hash", "critical")


def test_a_missing_file(context, model):
    (model / "chat_template.jinja").unlink()
    found = look(context, model)
    assert found.told == ("missing_file", "critical")
    assert "chat_template.jinja" in found.text


def test_another_size(context, model):
    rewrite(model / "config.json", lambda raw: raw.extend(b" "))
    found = look(context, model)
    assert found.told == ("wrong_size", "critical")
    assert found.text == "config.json has 1,165 bytes; the manifest says 1,164."


@pytest.mark.parametrize("name", ["model-2.safetensors", "modeling.py", "sub/adapter.json", "libx.so"])
def test_a_file_too_many(context, model, name):
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("")
    found = look(context, model)
    assert found.told == ("extra_file", "critical")
    assert f"remove {name}" in found.advice


@pytest.mark.parametrize("name", ["README.md", "LICENSE", ".gitattributes", ".cache/x.json"])
def test_what_no_loader_reads_may_be_added(context, model, name):
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("")
    assert look(context, model).result.status == "ok"


def test_several_faults_are_each_named(context, model):
    (model / "tokenizer.json").unlink()
    (model / "x.py").write_text("")
    rewrite(model / WEIGHTS, flip)
    found = look(context, model)
    assert found.told == ("several", "critical")
    assert found.lines == [
        "tokenizer.json is missing",
        "model.safetensors has another hash",
        "x.py is not listed, and a loader would read it",
    ]


def test_something_else_than_a_file_is_not_waited_for(context, model):
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    manifest = model_manifest.read(model)
    files = [file.model_copy(update={"size": 0}) if file.path == "config.json" else file for file in manifest.files]
    replace_manifest(model, manifest.model_copy(update={"files": files}).model_dump_json())
    found = look(context, model)
    assert found.told == ("unreadable", "critical")
    assert "not a regular file" in found.text


def test_a_link_to_nowhere(context, model):
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(model / "nowhere")
    assert look(context, model).result.status == "critical"


def test_links_to_blobs_are_files(context, model, tmp_path):
    (tmp_path / "blob").write_bytes((model / "config.json").read_bytes())
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(tmp_path / "blob")
    assert look(context, model).told == ("ok", "ok")


def replace_manifest(model, text):
    (model / "manifest.json").unlink()
    (model / "manifest.json").write_text(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "json_invalid"),
        ('{"schema_version": 2}', "schema_version 2"),
        ('{"created": "2026-01-01T00:00:00Z", "files": []}', "files: too_short"),
        (
            json.dumps(
                {"created": "2026-01-01T00:00:00Z", "files": [{"path": "../x", "size": 1, "sha256": "0" * 64}]},
            ),
            "files.0.path: value_error",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used(context, model, text, problem):
    replace_manifest(model, text)
    found = look(context, model)
    assert found.told == ("bad_manifest", "critical")
    assert problem in found.text


def test_without_a_manifest_it_is_recorded_once_and_compared_from_then_on(context, model, store):
    (model / "manifest.json").unlink()
    found = look(context, model)
    assert found.told == ("recorded", "warning")
    assert str(store.directory / "hashes.json") in found.advice
    assert look(context, model).told == ("as_found", "ok")
    rewrite(model / WEIGHTS, flip)
    (model / "x.py").write_text("")
    found = look(context, model)
    assert found.told == ("changed", "critical")
    assert found.lines == ["model.safetensors has another hash", "x.py is not listed, and a loader would read it"]
    assert f"remove {store.directory / 'hashes.json'}" in found.advice
    assert look(context, model).told == ("changed", "critical")  # seeing it does not make it right


def test_taking_the_manifest_away_hides_nothing(context, model):
    look(context, model)
    (model / "manifest.json").unlink()
    found = look(context, model)
    assert found.told == ("manifest_gone", "warning")
    rewrite(model / WEIGHTS, flip)
    assert look(context, model).told == ("changed", "critical")


def test_a_record_that_cannot_be_kept_is_told(context, model, store):
    store.directory.write_text("")
    found = look(context, model)
    assert found.told == ("not_kept", "warning")
    assert "Not a directory" in found.text or "File exists" in found.text


def test_a_disk_that_hangs(context, model, monkeypatch):
    """No disk hangs on demand: a read that does not return stands for it."""
    released = threading.Event()
    real = model_manifest.hash_file

    def slow(path, done, stop):
        if path.name == WEIGHTS:
            released.wait(10)
        return real(path, done, stop)

    monkeypatch.setattr(model_manifest, "hash_file", slow)
    monkeypatch.setattr(hashes, "STALL_S", 0.2)
    try:
        found = look(context, model)
    finally:
        released.set()
    assert found.told == ("stalled", "unknown")
    assert WEIGHTS in found.text
    assert "dmesg" in found.advice


def test_no_directory(context, tmp_path):
    assert look(context, tmp_path / "nothing").told == ("no_directory", "critical")


def test_progress_goes_up_to_the_end(context, model):
    run = context(model=model)
    told = []
    run.told = lambda id_, percent: told.append((id_, percent))
    examine(run, CHECKS, "model.hashes")
    assert {id_ for id_, _ in told} == {"model.hashes"}
    assert [percent for _, percent in told] == sorted(percent for _, percent in told)
    assert told[-1][1] == 100


def test_writing_a_manifest(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.json").write_text("abc")
    (tmp_path / ".hidden").write_text("")
    percent = []
    made = model_manifest.write(
        tmp_path, source="here", revision="1", quantization="nf4", versions={"x": "1"}, percent=percent.append
    )
    assert [(file.path, file.size) for file in made.files] == [("sub/a.json", 3)]
    assert made.files[0].sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert model_manifest.read(tmp_path) == made
    assert percent == [100]
    assert model_manifest.write(tmp_path, source="here").files == made.files  # it does not list itself
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "manifest.json", "sub"]


def test_stopping_leaves_the_old_manifest(tmp_path):
    (tmp_path / "a").write_bytes(bytes(3 * model_manifest.BLOCK))
    before = model_manifest.write(tmp_path, source="before")
    stop, blocks = threading.Event(), []

    def percent(done):
        blocks.append(done)
        stop.set()

    with pytest.raises(model_manifest.Stopped):
        model_manifest.write(tmp_path, source="after", percent=percent, stop=stop)
    assert len(blocks) == 1
    assert model_manifest.read(tmp_path) == before


def test_a_file_that_changes_while_it_is_read(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(bytes(2 * model_manifest.BLOCK))
    with pytest.raises(OSError, match="changed while it was read"):
        model_manifest.hash_file(file, lambda _count: os.utime(file, (1, 1)))


def test_the_schema_of_the_shipped_manifest():
    from medgemma_tui import demo

    manifest = model_manifest.read(demo.model_dir())
    assert isinstance(manifest, Manifest)
    assert {file.path for file in manifest.files} == {file.name for file in demo.model_dir().iterdir()} - {
        "manifest.json"
    }
    assert manifest.source == "medgemma_tui.demo.train"
    assert set(manifest.versions) == {"torch", "transformers"}
