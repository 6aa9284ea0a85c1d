"""What a sealed process is refused, asked of the kernel by real calls, in processes of all kinds."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from medgemma_tui.privacy import system_calls

X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of x86_64")

EVERYTHING = """
pipe = os.pipe()
made = {}
for name, family in dict(inet=2, inet6=10, netlink=16, packet=17, bluetooth=31, alg=38, vsock=40, xdp=44).items():
    made[name] = of(lambda: socket.socket(family, 3 if family in (16, 17) else 1).close())
made["unix"] = of(lambda: socket.socket(1, 1).close())
made["unix pair"] = of(lambda: [end.close() for end in socket.socketpair()])
made["pair"] = of(lambda: socket.socketpair(30))
made["socket, upper bits"] = call(41, 2 | 1 << 32, 1, 0)
made["unix, upper bits"] = call(41, 1 | 1 << 32, 1, 0)
made["tiocsti"] = of(lambda: __import__("fcntl").ioctl(pipe[0], 0x5412, b"x"))
made["tiocsti, upper bits"] = call(16, pipe[0], 0x5412 | 1 << 32, 0)
made["tioclinux"] = of(lambda: __import__("fcntl").ioctl(pipe[0], 0x541C, b"x"))
made["another ioctl"] = of(lambda: __import__("fcntl").ioctl(pipe[0], 0x541B, bytes(4)))  # FIONREAD
made["unshare mounts"] = call(272, 0x20000)
made["unshare pids"] = call(272, 0x20000000)
made["unshare time"] = call(272, 0x80)
made["unshare files"] = call(272, 0x400)
made["clone into a namespace"] = call(56, 0x10000000 | 17, 0, 0, 0, 0)
made["clone3"] = call(435, 0, 0)
numbers = dict(io_uring_setup=425, io_uring_enter=426, io_uring_register=427, ptrace=101, process_vm_readv=310,
    process_vm_writev=311, pidfd_getfd=438, kcmp=312, bpf=321, perf_event_open=298, userfaultfd=323, keyctl=250,
    add_key=248, request_key=249, kexec_load=246, kexec_file_load=320, init_module=175, finit_module=313,
    delete_module=176, mount=165, umount2=166, move_mount=429, open_tree=428, fsopen=430, fsconfig=431, fsmount=432,
    fspick=433, mount_setattr=442, pivot_root=155, chroot=161, setns=308, open_by_handle_at=304, swapon=167,
    acct=163, reboot=169, iopl=172, fanotify_init=300, clock_settime=227, quotactl=179)
for name, number in numbers.items():
    made[name] = call(number, -1, -1, -1, -1, -1, -1)
made["x32"] = call(0x40000000 | 41, 2, 1, 0)
tell(made)
"""
ALLOWED = {"unix": "ok", "unix pair": "ok", "unshare files": "ok", "another ioctl": "ok", "clone3": "ENOSYS"}


@X86
@pytest.mark.parametrize("role", ["command", "worker"])
def test_every_way_out_is_refused(child, role):
    made = child(EVERYTHING, role)
    assert made == {name: ALLOWED.get(name, "EPERM") for name in made}


@X86
def test_the_same_calls_are_let_through_without_a_seal(child):
    """So that the test above can fail: nothing but our filter refuses these."""
    made = child(EVERYTHING)
    assert made["inet"] == made["socket, upper bits"] == "ok"
    assert made["tiocsti"] == made["tioclinux"] == "ENOTTY"
    assert "EPERM" not in {made[name] for name in ("io_uring_enter", "process_vm_readv", "pidfd_getfd", "kcmp")}
    assert made["clone3"] != "ENOSYS"


@X86
def test_the_32_bit_door_is_shut_too(child):
    """int 0x80 numbers the calls otherwise; getpid, of all calls, is refused there."""
    code = """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, 20; int 0x80; ret
tell(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))() == EXPECTED)
"""
    without = subprocess.run(
        [sys.executable, "-I", "-c", f"import ctypes, os\nEXPECTED = os.getpid()\ntell = print\n{code}"],
        capture_output=True, text=True,
    )  # fmt: skip
    if without.stdout != "True\n":
        pytest.skip("this kernel has no 32-bit calls")
    assert child(f"EXPECTED = -errno.EPERM\n{code}", "command") is True


def test_threads_that_were_there_before_are_sealed_too(child):
    code = """
go, done = threading.Event(), []
def later():
    go.wait()
    done.append(of(lambda: socket.socket(socket.AF_INET).close()))
thread = threading.Thread(target=later)
thread.start()
from medgemma_tui.privacy.seal import seal
seal("gateway")
go.set()
thread.join()
tell(done)
"""
    assert child(code) == ["EPERM"]


def test_children_inherit_and_may_seal_themselves_again(child):
    """As the worker does: it is the gateway's child, and that the screen's."""
    inner = (
        "import socket, os\nfrom medgemma_tui.privacy.seal import seal\nprint(seal('worker').summary())\n"
        "try: socket.socket(2); print('open')\nexcept PermissionError: print('EPERM')\n"
        "print(open('/proc/self/status').read().split('Seccomp_filters:')[1].split()[0])\n"
        "print(open('/proc/self/net/dev').read().count(':'))\n"
    )
    code = f"""
tried = [sys.executable, "-I", "-c", "import socket; socket.socket(2)"]
bare = subprocess.run(tried, capture_output=True, text=True).stderr.splitlines()[-1]
again = subprocess.run([sys.executable, "-I", "-c", {inner!r}], capture_output=True, text=True)
tell([bare, again.stdout.splitlines(), again.stderr])
"""
    bare, again, errors = child(code, "screen")
    assert bare.startswith("PermissionError")
    assert not errors
    summary, tried, filters, interfaces = again
    assert tried == "EPERM"
    assert filters == "2"
    assert "seccomp, dumpable" in summary
    if subprocess.run(["unshare", "-n" if os.geteuid() == 0 else "-Un", "true"], capture_output=True).returncode == 0:
        assert "network_namespace," in summary
        assert interfaces == "1"


def test_all_layers_are_told(child):
    layers = child("tell([[layer.name, layer.holds, layer.reason] for layer in closed.layers])", "gateway")
    assert [layer[0] for layer in layers] == [
        "core_limit", "network_namespace", "no_new_privs", "seccomp", "dumpable",
    ]  # fmt: skip
    assert all(holds for name, holds, _ in layers if name != "network_namespace")
    (namespace,) = [layer for layer in layers if layer[0] == "network_namespace"]
    assert namespace[1:] in ([False, "not_wanted"], [True, ""])


def test_the_gateway_keeps_its_user_namespace(child):
    """In one of its own it would see no peer's uid."""
    code = "tell([os.readlink('/proc/self/ns/user'), os.readlink('/proc/self/ns/net')])"
    ours = [os.readlink("/proc/self/ns/user"), os.readlink("/proc/self/ns/net")]
    assert child(code, "gateway") == ours
    assert child(code, "screen") == ours


def test_sealing_again_changes_the_name_and_adds_no_filter(child):
    code = """
before = open("/proc/self/status").read().split("Seccomp_filters:")[1].split()[0]
again = seal("gateway")
from medgemma_tui.privacy.seal import current
tell([before, open("/proc/self/status").read().split("Seccomp_filters:")[1].split()[0], again.role, current() == again])
"""
    before, after, role, same = child(code, "command")
    assert (before, role, same) == (after, "gateway", True)


def test_without_libseccomp_the_other_layers_hold(child):
    code = """
import ctypes.util
real = ctypes.CDLL
def none(name, *more, **options):
    if name and "seccomp" in name:
        raise OSError("no such library")
    return real(name, *more, **options)
ctypes.CDLL = none
find = ctypes.util.find_library
ctypes.util.find_library = lambda name: None if name == "seccomp" else find(name)
from medgemma_tui.privacy.seal import seal
closed = seal("command")
layer = closed.layer("seccomp")
tell([layer.holds, layer.reason, closed.layer("no_new_privs").holds, closed.layer("dumpable").holds])
"""
    assert child(code) == [False, "no_libseccomp", True, True]


@X86
def test_a_libseccomp_that_is_older_than_a_call_does_not_leave_it_open(child):
    code = """
from medgemma_tui.privacy import system_calls
import pyseccomp
real = pyseccomp.resolve_syscall
pyseccomp.resolve_syscall = lambda arch, name: -1 if name in system_calls._NUMBERS else real(arch, name)
from medgemma_tui.privacy.seal import seal
seal("command")
tell([call(425, 1, 0), call(442, -1), call(435, 0, 0)])
"""
    assert child(code) == ["EPERM", "EPERM", "ENOSYS"]


@X86
def test_our_numbers_are_those_of_libseccomp():
    pyseccomp = system_calls._pyseccomp()
    for name, number in system_calls._NUMBERS.items():
        assert pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) in (number, -1)


WORKER = """
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
path = f"{os.environ.get('PLACE', '/tmp')}/seal-{os.getpid()}"
with socket.socket(socket.AF_UNIX) as place, socket.socket(socket.AF_UNIX) as abstract:
    place.bind(path)
    owner = os.stat(path).st_uid
    os.unlink(path)
    abstract.bind("\\0medgemma-seal-test")  # as CUDA does
tell([closed.layer("network_namespace").reason, open("/proc/self/net/dev").read().count(":"), os.getuid(), os.geteuid(),
      owner, status["CapEff"].strip(), call(272, 0x10000000), call(272, 0x40000000)])
"""


@X86
def test_the_worker_of_another_user_has_an_empty_network_of_its_own(child, as_nobody):
    """Without any right it is a user namespace's: its uid, its files and its sockets are what they were."""
    reason, interfaces, uid, euid, owner, capabilities, *refused = child(WORKER, "worker", as_nobody)
    if reason == "not_permitted":
        assert subprocess.run([*as_nobody, "unshare", "-Un", "true"], capture_output=True).returncode
        pytest.skip("this system lets nobody make a user namespace")
    assert (reason, interfaces) == ("", 1)
    assert uid == euid == owner == 61234
    assert int(capabilities, 16) == 0
    assert refused == ["EPERM", "EPERM"]


def test_where_no_namespace_is_to_be_had_the_process_is_as_it_was(child, as_nobody):
    code = """
from medgemma_tui.privacy import namespace
ours = os.readlink("/proc/self/ns/user")
write = namespace.Path.write_text
def refuse(path, text):
    if path.name == "uid_map":
        raise PermissionError(errno.EPERM, "no")  # as AppArmor does, after the namespace is made
    return write(path, text)
namespace.Path.write_text = refuse
from medgemma_tui.privacy.seal import seal
layer = seal("worker").layer("network_namespace")
tell([layer.holds, layer.reason, os.readlink("/proc/self/ns/user") == ours, os.getuid(),
      of(lambda: socket.socket(2).close())])
"""
    assert child(code, "", as_nobody) == [False, "not_permitted", True, 61234, "EPERM"]


def test_an_undumpable_process_still_does_its_work(child, as_nobody):
    """Its /proc files are root's; it reads its own descriptors, and starts programs and threads. Nobody reads it."""
    code = """
from medgemma_tui.privacy.open_sockets import own_inet_sockets
thread = threading.Thread(target=int)
thread.start()
thread.join()
asked = f"try: open('/proc/{os.getpid()}/mem', 'rb'); print('open')\\nexcept OSError as e: print(e.errno)"
other = subprocess.run([sys.executable, "-I", "-c", asked], capture_output=True, text=True).stdout.strip()
tell([own_inet_sockets(), len(os.listdir("/proc/self/fd")) > 2, int(other) == errno.EACCES])
"""
    assert child(code, "screen", as_nobody) == [0, True, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to go into a namespace first")
def test_an_empty_network_that_was_given_is_kept(child):
    """As systemd's PrivateNetwork gives it to the service: no user namespace on top."""
    code = """
user = os.readlink("/proc/self/ns/user")
net = os.readlink("/proc/self/ns/net")
from medgemma_tui.privacy.seal import seal
layer = seal("ROLE").layer("network_namespace")
tell([layer.holds, user == os.readlink("/proc/self/ns/user"), net == os.readlink("/proc/self/ns/net")])
"""
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("network namespaces cannot be made here")
    for role in ("worker", "gateway"):
        assert child(code.replace("ROLE", role), "", ("unshare", "-n")) == [True, True, True]
