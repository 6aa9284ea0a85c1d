"""Who may do what: real users of other uids and groups before one real gateway and its demo model."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from gateway_running import Engine, Running, short_directory
from other_users import User, needs_root

from medgemma_tui.gateway import app, roles
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.gateway.roles import Role
from medgemma_tui.gateway.telemetry_stream import sample_for
from medgemma_tui.protocol import GpuProcess, GpuSample, Telemetry
from medgemma_tui.settings import Settings, SettingsError

USERS, OPS, AUDITORS = 47110, 47111, 47112  # groups that no system has
ANNA, BERT, OPERATOR, AUDITOR, BOTH, STRANGER = range(48001, 48007)
QUESTION = {"messages": [{"role": "user", "content": "What does ECG mean?"}], "max_tokens": 4}
EVENT = {"event": "login", "outcome": "ok"}
REPORT = {
    "phase": "health", "started": 1.8e9, "seconds": 1, "version": "1", "box": "b", "demo": True, "verdict": "unknown",
    "results": [],
}  # fmt: skip

MEMBERS = {"users", "ops", "auditors"}
ROUTES = {  # who may call what; the bodies are such that they succeed
    ("POST", "/v1/chat/completions"): ({"users"}, QUESTION),
    ("POST", "/tokenize"): ({"users"}, {"prompt": "x"}),
    ("GET", "/v1/models"): ({"users"}, None),
    ("GET", "/v1/models/{id:path}"): ({"users"}, None),
    ("GET", "/health"): (MEMBERS, None),
    ("GET", "/metrics"): ({"ops"}, None),
    ("GET", "/v1/telemetry"): ({"users", "ops"}, None),
    ("GET", "/v1/privacy"): (MEMBERS, None),
    ("PUT", "/v1/session"): ({"users"}, {"payload": "x"}),
    ("GET", "/v1/session"): ({"users"}, None),
    ("DELETE", "/v1/session"): ({"users"}, None),
    ("POST", "/v1/events"): (MEMBERS, EVENT),
    ("GET", "/v1/health/report"): ({"ops"}, None),
    ("POST", "/v1/health/report"): (set(), REPORT),  # the gateway's own user and root
    ("POST", "/v1/health/run"): ({"ops"}, None),
    ("GET", "/v1/memory"): ({"users", "ops"}, None),
    ("GET", "/v1/audit"): ({"auditors"}, None),
    ("GET", "/v1/audit/verify"): ({"auditors"}, None),
}


@pytest.fixture(scope="module")
def clinic():
    """A gateway for three groups, and a user of each role: ``.gateway``, ``.users``, ``.ops`` …"""
    directory = short_directory()
    directory.chmod(0o755)
    groups = {"users_group": USERS, "ops_group": OPS, "auditors_group": AUDITORS}
    gateway = Running("--demo", directory=directory, audit_dir=directory / "audit", **groups)
    try:
        gateway.ready()
        with contextlib.ExitStack() as stack:

            def user(uid, *member_of):
                return stack.enter_context(User(gateway.socket, uid, groups=member_of))

            yield SimpleNamespace(
                gateway=gateway,
                users=user(ANNA, USERS),
                anna=user(ANNA, USERS),
                bert=user(BERT, 7, USERS),
                ops=user(OPERATOR, OPS),
                auditors=user(AUDITOR, AUDITORS),
                both=user(BOTH, USERS, AUDITORS),
                stranger=user(STRANGER, 7),
            )
    finally:
        gateway.stop()


def test_every_route_has_its_line_here():
    lines = re.findall(r'_route\("([A-Z ]+)", "([^"]+)"', inspect.getsource(app))
    assert {(method, path) for methods, path in lines for method in methods.split()} == set(ROUTES)
    assert "Route(" not in re.sub(r"return Route\(|self\._route\(", "", inspect.getsource(app))


@needs_root
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_each_role_has_its_routes_and_no_other(clinic, method, path):
    allowed, body = ROUTES[method, path]
    target = path.replace("{id:path}", "none-such")
    for role in sorted(MEMBERS):
        said = getattr(clinic, role).call(method, target, body)
        if role in allowed:
            assert said.status < 500, said
            assert said.status != 403, said
        elif not allowed:
            assert (said.status, said.code) == (403, "own_user_needed"), (role, said)
        else:
            assert (said.status, said.code) == (403, "role_needed"), (role, said)
            assert said.json["error"]["params"]["group"] in ("47110", "47111", "47112", "47110, 47111")
    said = clinic.stranger.call(method, target, body)
    assert (said.status, said.code) == (403, "peer_not_allowed")
    assert said.json["error"]["params"]["group"] == str(USERS)
    if path != "/v1/telemetry":  # which does not end; root's is looked at below
        assert clinic.gateway.http.request(method, target, json=body).status_code not in (403, 500)


@needs_root
def test_the_file_lets_everybody_connect_and_the_kernel_tells_who_it_is(clinic):
    assert clinic.gateway.socket.stat().st_mode & 0o777 == 0o666
    assert clinic.gateway.directory.joinpath("gateway.sock.d").stat().st_mode & 0o777 == 0o700
    with User(clinic.gateway.socket, STRANGER, gid=USERS) as primary:  # by its primary group
        assert primary.call("GET", "/v1/models").status == 200
    for target in ("/", "/nothing", "/v1/../health", "/%00"):
        assert clinic.stranger.call("GET", target).code == "peer_not_allowed"
        assert clinic.ops.call("GET", target).status == 404


@needs_root
def test_one_may_have_two_roles(clinic):
    assert clinic.both.call("POST", "/tokenize", {"prompt": "x"}).status == 200
    assert clinic.both.call("GET", "/v1/audit").status == 200
    assert clinic.both.call("GET", "/metrics").code == "role_needed"


@needs_root
def test_refusals_are_on_record_for_the_auditors(clinic):
    for _again in range(3):
        clinic.stranger.call("GET", "/health")
    clinic.ops.call("POST", "/v1/chat/completions", QUESTION)

    def records():
        lines = clinic.auditors.call("GET", "/v1/audit").text.splitlines()
        return [record for record in map(json.loads, lines) if record["event"] == "refused"]

    refused = {(record["uid"], record["outcome"]) for record in records()}
    assert {(STRANGER, "peer_not_allowed"), (OPERATOR, "role_needed")} <= refused
    assert len(records()) <= 12  # counted, and not one record a call
    assert "refused a call by" in clinic.gateway.log.read_text()


# --- two users, kept apart ---


@needs_root
def test_a_parked_conversation_is_its_users_whatever_another_calls_himself(clinic):
    assert clinic.anna.call("PUT", "/v1/session", {"payload": "Anna's"}, session="shared").status == 204
    for session in ("shared", "", f"{ANNA}:s.shared"):
        assert clinic.bert.call("GET", "/v1/session", session=session).code == "no_session"
        assert clinic.bert.call("DELETE", "/v1/session", session=session).status == 204
    assert clinic.bert.call("PUT", "/v1/session", {"payload": "Bert's"}, session="shared").status == 204
    assert clinic.anna.call("GET", "/v1/session", session="other").json["payload"] == "Anna's"
    assert clinic.bert.call("GET", "/v1/session").json["payload"] == "Bert's"
    assert clinic.anna.call("DELETE", "/v1/session").status == 204
    assert clinic.bert.call("GET", "/v1/session").json["payload"] == "Bert's"
    assert clinic.bert.call("DELETE", "/v1/session").status == 204


@needs_root
def test_the_prefix_cache_is_its_users_whatever_another_calls_himself(clinic):
    first = clinic.anna.call("POST", "/v1/chat/completions", {**QUESTION, "max_tokens": 60}, session="shared").json
    answer = first["choices"][0]["message"]["content"]
    turns = [*QUESTION["messages"], {"role": "assistant", "content": answer}, {"role": "user", "content": "?"}]

    def cached(user):
        said = user.call("POST", "/v1/chat/completions", {"messages": turns, "max_tokens": 4}, session="shared")
        return said.json["usage"]["prompt_tokens_details"]["cached_tokens"]

    assert cached(clinic.bert) == 0  # the very same conversation, under the very same name
    assert cached(clinic.anna) > 0
    assert clinic.bert.call("DELETE", "/v1/session", session="shared").status == 204
    assert cached(clinic.anna) > 0  # a wipe is of one's own
    assert clinic.anna.call("DELETE", "/v1/session", session="shared").status == 204
    assert cached(clinic.anna) == 0


# --- telemetry ---


def test_other_peoples_processes_are_for_ops():
    held = [
        GpuProcess(pid=1, user="medgemma", command="python", used_bytes=5000, is_worker=True),
        GpuProcess(pid=2, user="carla", command="train.py", used_bytes=700),
        GpuProcess(pid=3, user="root", command="Xorg", used_bytes=200),
        GpuProcess(pid=4, user="root", command="me", used_bytes=10),
    ]
    sample = Telemetry(time=1.0, gpus=[GpuSample(index=0, processes=held), GpuSample(index=1, processes=None)])

    def peer(*held_roles):
        return Peer(1, 0, 0, frozenset(), 1, lambda: None, frozenset(held_roles))

    assert sample_for(peer(Role.OPS), sample) is sample
    for user in (peer(Role.USERS), peer()):
        seen = sample_for(user, sample)
        own, others = seen.gpus[0].processes[:-1], seen.gpus[0].processes[-1]
        assert [process.pid for process in own] == [1, 3, 4]  # uid 0 is root here
        assert others == GpuProcess(pid=0, used_bytes=700, together=1)
        assert "carla" not in seen.model_dump_json()
        assert "train.py" not in seen.model_dump_json()
        assert seen.gpus[1].processes is None
    unknown = sample.model_copy(update={"gpus": [GpuSample(index=0, processes=[GpuProcess(pid=9, used_bytes=None)])]})
    assert sample_for(peer(Role.USERS), unknown).gpus[0].processes == [GpuProcess(pid=0, together=1)]


@needs_root
def test_a_user_has_so_many_streams_of_telemetry(clinic):
    with contextlib.ExitStack() as stack:
        open_streams, tries = 0, 0
        while open_streams < 8:  # the gateway may not have seen yet that a test before this one has left
            stream = stack.enter_context(clinic.gateway.http.stream("GET", "/v1/telemetry"))
            open_streams += stream.status_code == 200
            tries += 1
            assert tries < 100, stream.status_code
            time.sleep(0.05 if stream.status_code != 200 else 0)
        refused = clinic.gateway.http.get("/v1/telemetry")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_calls")
        assert clinic.users.call("GET", "/v1/telemetry").status == 200  # another user's are his own
    assert clinic.gateway.http.get("/health").status_code == 200


# --- the settings ---


def settings(**given):
    return Settings(**given)


def test_a_group_is_a_name_or_a_number_and_an_unknown_one_is_an_error():
    found = roles.access(settings(users_group="root", ops_group=str(OPS)))
    assert found.mode == 0o666
    assert found.groups[Role.USERS] == roles.Group(0, "root")
    assert found.groups[Role.OPS] == roles.Group(OPS, str(OPS))
    for name in ("no-such-group", "-1", "4294967295", "٣"):
        with pytest.raises(SettingsError, match="auditors_group: this system has no group"):
            roles.access(settings(auditors_group=name))


@pytest.mark.parametrize(
    ("given", "mode"),
    [({}, 0o600), ({"socket_mode": "0660"}, 0o660), ({"socket_mode": "0660", "ops_group": "0"}, 0o660)],
)
def test_the_mode_of_the_file(given, mode):
    assert roles.access(settings(**given)).mode == mode


@pytest.mark.parametrize("given", [{"socket_mode": "0600", "users_group": "0"}, {"socket_mode": "0666"}])
def test_a_mode_that_contradicts_the_groups_is_an_error(given):
    with pytest.raises(SettingsError, match="socket_mode"):
        roles.access(settings(**given))


def test_with_a_group_set_the_group_of_the_file_has_no_role():
    both = roles.access(settings(socket_mode="0660", ops_group=str(OPS))).policy(1000, socket_group=50)
    assert both.roles(7, frozenset({50})) == frozenset()
    assert both.roles(7, frozenset({OPS})) == {Role.OPS}
    alone = roles.access(settings(socket_mode="0660")).policy(1000, socket_group=50)
    assert alone.roles(7, frozenset({50})) == {Role.USERS}


def test_the_service_does_not_start_with_a_group_that_is_not_there(tmp_path):
    env = {**os.environ, "MEDGEMMA_USERS_GROUP": "no-such-group"}
    command = [sys.executable, "-m", "medgemma_tui", "serve", "--demo", "--socket", str(tmp_path / "g.sock")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "users_group: this system has no group 'no-such-group'" in done.stderr


# --- names, and what the person is told ---

_CLIENT = """
import asyncio, grp, os, pwd, sys
from pathlib import Path
import httpx, httpcore, anyio, anyio._backends._asyncio, encodings.idna
from medgemma_tui import closed_socket, problems
from medgemma_tui.client import Client, ServiceError
path, uid, groups = Path(sys.argv[1]), int(sys.argv[2]), [int(g) for g in sys.argv[3].split(",") if g]
async def main():
    async with Client(path) as client:
        os.setgroups(groups); os.setresgid(65534, 65534, 65534); os.setresuid(uid, uid, uid)
        for call in (client.health, client.model, client.forget):
            try:
                await call()
                print("ok")
            except ServiceError as error:
                print(problems.sentence(error.info))
asyncio.run(main())
"""


def told(socket, uid, *groups):
    """What our own client says to this user of /health, /v1/models and DELETE /v1/session."""
    arguments = [str(socket), str(uid), ",".join(map(str, groups))]
    done = subprocess.run(
        [sys.executable, "-c", _CLIENT, *arguments], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture
def named():
    """A Unix group and a user in it, made for the test: ``(group, gid, user, uid)``."""
    if shutil.which("groupadd") is None or shutil.which("useradd") is None:
        pytest.skip("this system has no groupadd and useradd")
    group, user = "mgtestclinic", "mgtestnurse"
    subprocess.run(["groupadd", group], check=True)
    try:
        subprocess.run(["useradd", "--no-create-home", "--groups", group, user], check=True)
        try:
            gid = int(subprocess.check_output(["getent", "group", group], text=True).split(":")[2])
            yield group, gid, user, int(subprocess.check_output(["id", "-u", user], text=True))
        finally:
            subprocess.run(["userdel", user], check=True)
    finally:
        subprocess.run(["groupdel", group], check=False)


@needs_root
def test_names_are_found_and_the_client_says_which_group_to_ask_for(named):
    group, gid, user, uid = named
    directory = short_directory()
    directory.chmod(0o755)
    engine = Engine(directory)
    gateway = Running(
        engine_socket=engine.socket, directory=directory, audit_dir=directory / "audit",
        users_group=group, auditors_group=str(AUDITORS),
    )  # fmt: skip
    try:
        gateway.ready()
        assert told(gateway.socket, uid, gid) == ["ok", "ok", "ok"]
        outside = told(gateway.socket, uid)  # the same account, logged in before it was added to the group
        assert all(f"not in the group {group}" in line for line in outside), outside
        auditor = told(gateway.socket, uid, AUDITORS)
        assert auditor[0] == "ok"
        assert f"members of the group {group}" in auditor[1]
        assert f"refused a call by {user} (uid {uid}" in gateway.log.read_text()
        # the same, where the file system closes the way to the socket
        os.chown(directory, 0, gid)
        directory.chmod(0o750)
        assert told(gateway.socket, uid, gid) == ["ok", "ok", "ok"]
        closed = told(gateway.socket, uid)
        assert all("closed to your account" in line and f"group {group}" in line for line in closed), closed
        directory.chmod(0o700)
        assert all("may not use the service" in line for line in told(gateway.socket, uid, gid))
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory, ignore_errors=True)
