"""The GPU's memory device is made before no-new-privileges forbids it, where it is missing, and only there."""

from __future__ import annotations

import pytest

from medgemma_tui.privacy import devices


@pytest.fixture
def box(monkeypatch, tmp_path):
    """A box with a program that makes the device; its places."""
    places = {name: tmp_path / name for name in ("card", "memory", "program")}
    for name, place in places.items():
        monkeypatch.setattr(devices, f"_{name.upper()}", str(place))
    places["program"].write_text(f'#!/bin/sh\necho "$@" > {places["memory"]}\nenv >> {places["memory"]}\n')
    places["program"].chmod(0o755)
    return places


def test_it_is_made_where_there_is_a_card_without_it(box):
    box["card"].touch()
    devices.make_ready()
    options, *environment = box["memory"].read_text().splitlines()
    assert options == "-u -c 0"
    assert not [line for line in environment if not line.startswith("PWD=")]  # a setuid program sees none of ours


def test_nothing_is_run_without_a_card_or_where_it_is_there(box):
    devices.make_ready()
    assert not box["memory"].exists()
    box["card"].touch()
    box["memory"].touch()
    devices.make_ready()
    assert box["memory"].read_text() == ""


def test_what_fails_is_left_to_cuda_to_say(box):
    box["card"].touch()
    box["program"].write_text("#!/no/such/interpreter\n")
    devices.make_ready()
    box["program"].write_text("#!/bin/sh\nexit 1\n")
    devices.make_ready()
    assert not box["memory"].exists()
