# SPDX-License-Identifier: MIT
"""Network namespaces of one run, in a shell that nobody else sees.

A run has its own mount, process and network namespaces, and everything it makes lives in them: names cannot collide
with those of another run, and the kernel removes all of it when the first process of the run ends, whatever ended it.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x0002_0000, 0x2000_0000, 0x4000_0000
PR_SET_PDEATHSIG = 1
# Everything a run writes: a file system of its own in memory, gone with the run.
ROOT = "/run"
# Of which at most this much is used.
ROOT_SIZE = "4g"
PROGRAMS = ["ip", "nft", "mount"]

_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str | None:
    """Why a lab cannot be made here; one sentence."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in PROGRAMS:
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            return f"{program} is not installed; scripts/setup --tests installs it"
    if not os.path.exists("/dev/net/tun"):
        return "this kernel has no /dev/net/tun"
    return None


def enter() -> None:
    """Goes on in namespaces of this run's own; returns in there only.

    The process that returns has the number 1 in there: when it ends, the kernel kills all others of the run. It ends
    with the process outside, which waits for it, and ends it when a signal comes.
    """
    if _libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    child = os.fork()
    if child:
        for number in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]:
            signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    run("mount", "-t", "tmpfs", "-o", f"size={ROOT_SIZE},mode=0755", "tmpfs", ROOT)
    os.makedirs(f"{ROOT}/netns")
    os.makedirs(f"{ROOT}/lab")
    tempfile.tempdir = f"{ROOT}/lab"
    run("ip", "link", "set", "lo", "up")


def run(*command: str, text: str | None = None) -> str:
    """A command that must succeed; its output."""
    result = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:6])}: {result.stderr.strip()}" + (f"\n{text}" if text else ""))
    return result.stdout


class Namespace:
    """One network namespace: a machine, as far as packets can tell."""

    # So that two labs in one process do not collide, either.
    _run = uuid.uuid4().hex[:8]

    def __init__(self, name: str) -> None:
        self.name = f"{self._run}-{name}"
        run("ip", "netns", "add", self.name)
        self.descriptor = os.open(f"{ROOT}/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        self._outside = threading.local()
        self.ip("link set lo up")

    def __enter__(self) -> "Namespace":
        """Until the end of the block this thread makes its sockets and processes in here."""
        self._outside.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._set(self.descriptor)
        return self

    def __exit__(self, *_) -> None:
        self._set(self._outside.descriptor)
        os.close(self._outside.descriptor)

    @staticmethod
    def _set(descriptor: int) -> None:
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def ip(self, *lines: str) -> None:
        """Commands of ip(8), all in one call."""
        run("ip", "-n", self.name, "-batch", "-", text="".join(f"{line}\n" for line in lines))

    def nft(self, rules: str) -> None:
        """Rules of nft(8), all or none."""
        with self:
            run("nft", "-f", "-", text=rules)

    def sysctl(self, **values) -> None:
        """Settings below /proc/sys/net; dots of the name are two underscores."""
        with self:
            for name, value in values.items():
                with open(f"/proc/sys/net/{name.replace('__', '/')}", "w") as file:
                    file.write(str(value))

    def start(self, *command: str, log: str, environment: dict | None = None,
              directory: str | None = None) -> subprocess.Popen:
        """A program in here, which writes into a file."""
        with self, open(log, "ab") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=directory)

    def close(self) -> None:
        """Forgets the namespace; it ends with its last process."""
        os.close(self.descriptor)
        run("ip", "netns", "delete", self.name)
