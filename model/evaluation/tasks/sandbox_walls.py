"""The walls of the sandbox: namespaces, a root of its own, a filter of system calls, a hook.

The standard library alone is used, and what is missing on a system is left out; `sandbox` tells
what that means.
"""

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any


def numbers_of(text: str) -> tuple[int, ...]:
    """Return the numbers of system calls that a text lists."""
    return tuple(map(int, text.split()))


HOME, ROOT = "/box", "/tmp"  # inside; where the new root is put together
SHOWN = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
)
NAMESPACES = 0x6C020000  # NEWPID, NEWNET, NEWNS, NEWIPC, NEWUTS
NEW_USER = 0x10000000
# What the answers of models have no business with; EPERM. Processes: see `filter_calls`.
DENIED = {
    "x86_64": numbers_of(
        "41 42 49 57 58 59 62 101 135 155 157 161 165 166 169 175 176 248 249 250 272 298 303 "
        "304 308 310 311 313 321 322 323 424 425 426 427 428 429 430 431 432 433 434 438 442"
    ),
    "aarch64": numbers_of(
        "39 40 41 51 92 97 105 106 117 129 142 167 198 200 203 217 218 219 221 241 264 265 "
        "268 270 271 273 280 281 282 424 425 426 427 428 429 430 431 432 433 434 438 442"
    ),
}
MACHINES = {"x86_64": (0xC000003E, 56), "aarch64": (0xC00000B7, 220)}  # audit number, clone
CLONE3, CLONE_THREAD = 435, 0x10000
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50001, 0x50026
REFUSED = (
    "socket.",
    "subprocess.",
    "ctypes.",
    "shutil.",
    "signal.",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.kill",
    "os.system",
    "os.remove",
    "os.rename",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.rmdir",
    "os.mkdir",
    "os.putenv",
    "os.setxattr",
    "gc.get_",
    "pty.spawn",
    "sqlite3.enable_load_extension",
)
NO_MODULES = ("_posixsubprocess", "_ctypes", "_multiprocessing")


def unshare() -> bool:
    """Leave the machine's processes, network and mounts behind, where the kernel allows it."""
    user, group = os.geteuid(), os.getegid()
    try:
        libc = ctypes.CDLL(None)
        if libc.unshare(NAMESPACES | NEW_USER):
            return user == 0 and libc.unshare(NAMESPACES) == 0
        # files can be made by an owner that the new namespace knows, whoever that is
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"1000 {user} 1"),
            ("gid_map", f"1000 {group} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)
    except (OSError, AttributeError):
        return False
    return True


def limit(seconds: int, size: int) -> None:
    """Bound this process's time in seconds, memory and files in bytes."""
    wanted = {"CPU": seconds, "AS": size, "FSIZE": 1 << 20, "NOFILE": 32, "CORE": 0}
    if sys.platform != "linux":
        wanted["NPROC"] = 1  # there is no filter of system calls
    for name, most in wanted.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))


def new_root(libc: Any) -> bool:
    """Make a root of Python's library and a small empty folder, all else out of sight."""
    libc.mount(None, b"/", None, 0x44000, None)  # MS_REC, MS_PRIVATE
    if libc.mount(b"none", ROOT.encode(), b"tmpfs", 6, b"size=1m,mode=755"):  # NOSUID, NODEV
        return False
    home = (ROOT + HOME).encode()
    shown = _show(libc)
    Path(ROOT + HOME).mkdir()
    sealed = _seal(libc, [*shown, ROOT])
    if not sealed or libc.mount(b"none", home, b"tmpfs", 14, b"size=16m,nr_inodes=256,mode=700"):
        libc.umount2(ROOT.encode(), 2)  # MNT_DETACH: what is beneath is needed then
        return False
    os.chroot(ROOT)
    return True


def _show(libc: Any) -> list[str]:
    """Let Python's library and what it is linked with appear in the new root; return the places."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    places = []
    for path in (*map(Path, SHOWN), stdlib):
        there = Path(ROOT + str(path))
        if path.is_dir():
            there.mkdir(parents=True, exist_ok=True)
        elif path.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            there.touch()
        # MS_BIND, MS_REC
        if libc.mount(str(path).encode(), str(there).encode(), None, 0x5000, None) == 0:
            places.append(str(there))
    for name in ("site-packages", "dist-packages", "../python3/dist-packages"):
        packages = Path(f"{ROOT}{stdlib}") / name
        if packages.is_dir():  # may hold the very checks
            libc.mount(b"none", str(packages).encode(), b"tmpfs", 7, b"size=4k,nr_inodes=2")
    return places


def _seal(libc: Any, places: list[str]) -> bool:
    """Make all that is shown read-only."""
    read_only = struct.pack("QQQQ", 1 | 2, 0, 0, 0)  # MOUNT_ATTR_RDONLY, NOSUID
    if libc.syscall(442, -100, ROOT.encode(), 0x8000, read_only, 32) == 0:  # Linux 5.12, recursive
        return True
    flags = 0x1023  # MS_BIND, MS_REMOUNT, MS_NOSUID, MS_RDONLY
    return all(libc.mount(None, path.encode(), None, flags, None) == 0 for path in places)


def filter_calls(libc: Any) -> bool:
    """Let the kernel refuse new processes and other calls; True if it does so from now on."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in MACHINES:
        return False
    audit, clone = MACHINES[machine]
    load, equal, above, set_, ret = 0x20, 0x15, 0x35, 0x45, 0x06
    rows = [
        (load, 0, 0, 4),
        (equal, 1, 0, audit),
        (ret, 0, 0, KILL),
        (load, 0, 0, 0),
        (above, 0, 1, 0x40000000),
        (ret, 0, 0, KILL),
    ]
    for number in DENIED[machine]:
        rows += [(equal, 0, 1, number), (ret, 0, 0, EPERM)]
    rows += [(equal, 0, 1, CLONE3), (ret, 0, 0, ENOSYS)]  # the C library then takes clone
    rows += [
        (equal, 0, 3, clone),
        (load, 0, 0, 16),
        (set_, 1, 0, CLONE_THREAD),
        (ret, 0, 0, EPERM),
        (ret, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    program = struct.pack("HxxxxxxQ", len(rows), ctypes.addressof(code))
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    return libc.prctl(22, 2, program, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def refusals(home: str, *, forks: bool, sees: bool) -> Callable[[str, tuple[Any, ...]], None]:
    """Return the hook that says no where the kernel may not have been asked to.

    `forks` tells that it does not refuse new processes, `sees` that this machine's files are there.
    """
    refused, real, beneath, is_folder = REFUSED, os.path.realpath, home + "/", os.path.isdir
    modules = NO_MODULES if forks else ()
    stdlib = sysconfig.get_paths()["stdlib"]
    readable = (beneath, real(stdlib) + "/", "/dev/null", "/dev/urandom", "/usr/share/zoneinfo/")
    packages = ("/site-packages/", "/dist-packages/")
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(refused) or (event == "import" and arguments[0] in modules):
            raise PermissionError(event)
        if event != "open" or isinstance(arguments[0], int):
            return
        path, _, flags = arguments
        there = real(os.fsdecode(path))
        hidden = sees and (not there.startswith(readable) or any(p in there for p in packages))
        if hidden or (flags & writing and not there.startswith(beneath)) or is_folder(there):
            raise PermissionError(path)  # in a folder files could be opened without their path

    return refuse
