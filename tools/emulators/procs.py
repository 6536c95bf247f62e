"""Starts processes that end when we do, however we end.

A `Family` forks a watcher before anything else. The watcher does nothing until our end of a pipe closes, which the
kernel ensures even when we are killed; then it ends, by process id, whatever of the family still runs, and removes
the family's folder. Members are reported by a variable in their environment, so that grandchildren are found too,
whatever process group or session they have put themselves in. Linux only (/proc). No process outside the family is
ever touched.
"""

import contextlib
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
MARK = "STREAMSEAL_FAMILY"

# Loopback never goes through a proxy, whatever the environment says.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """What went wrong, in words for whoever ran the command."""


class Child(subprocess.Popen[bytes]):
    """A process of a family, with the name that messages have for it and the file that its output goes to."""

    name = ""
    log: str | None = None

    def tail(self, lines: int = 20) -> str:
        """The end of its output, for a message."""
        if self.log is None:
            return ""
        text = pathlib.Path(self.log).read_text(errors="replace").splitlines()[-lines:]
        return "; the end of its log:\n" + "\n".join(text)


class Family:
    """Children with one folder. Use as a context manager; `SIGTERM`, `SIGINT` and `SIGHUP` leave it in good order."""

    def __enter__(self) -> "Family":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _leave)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="streamseal-"))
        self.children: list[Child] = []
        end, self.alive = os.pipe()
        self.watcher = os.fork()
        if self.watcher == 0:
            os.close(self.alive)
            _watch(end, self.folder)
        os.close(end)
        return self

    def start(self, name: str, argv: Sequence[object], env: Mapping[str, str], **popen: Any) -> Child:
        """Starts a child in a session of its own, with nothing of our environment but what `env` has."""
        child = Child(
            [str(arg) for arg in argv],
            env={**env, MARK: str(self.folder)},
            cwd=popen.pop("cwd", self.folder),
            stdin=popen.pop("stdin", subprocess.DEVNULL),
            start_new_session=True,
            **popen,
        )
        child.name = name
        self.children.append(child)
        return child

    def start_logged(self, name: str, argv: Sequence[object], env: Mapping[str, str]) -> Child:
        """As `start`, with its output in a file whose end is shown if the child fails."""
        path = self.folder / f"{name}.log"
        with path.open("wb") as log:
            child = self.start(name, argv, env, stdout=log, stderr=subprocess.STDOUT)
        child.log = str(path)
        return child

    def ended(self) -> Child | None:
        """The first child that has ended, if any."""
        return next((child for child in self.children if child.poll() is not None), None)

    def await_ready(self, child: Child, ready: Callable[[], bool], seconds: float = 300) -> None:
        """Returns when `ready` says so; fails when the child ends before that, or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if child.poll() is not None:
                raise Failed(f"{child.name} ended with status {child.returncode} before it was ready{child.tail()}")
            if time.monotonic() > deadline:
                raise Failed(f"{child.name} was not ready after {seconds} s{child.tail()}")
            time.sleep(0.05)
        if child.poll() is not None:
            raise Failed(f"{child.name} ended: another process has taken its port{child.tail()}")

    def await_stdin(self) -> None:
        """Returns when our stdin closes; fails when a child ends before that."""
        while True:
            if select.select([0], [], [], 0.5)[0] and not os.read(0, 65536):
                return
            if child := self.ended():
                raise Failed(f"{child.name} ended by itself with status {child.returncode}{child.tail()}")

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self.children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + 3
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0, deadline - time.monotonic()))
        os.close(self.alive)
        os.waitpid(self.watcher, 0)
        for child in self.children:
            child.wait()


def _leave(number: int, _: types.FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _watch(end: int, folder: pathlib.Path) -> NoReturn:
    """The watcher's whole life. Never returns."""
    os.setsid()  # A signal to our group or from the terminal is not for the watcher.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):  # Whoever reads our output must see its end when we end.
        os.dup2(null, fd)
    os.read(end, 1)
    mark = f"{MARK}={folder}".encode()
    for _ in range(100):
        members = [
            pid
            for pid in map(int, filter(str.isdigit, (one.name for one in pathlib.Path("/proc").iterdir())))
            if _is_member(pid, mark)
        ]
        for pid in members:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not members:
            break
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _is_member(pid: int, mark: bytes) -> bool:
    try:
        return mark in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # Gone, a zombie, or another user's.
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody else takes before the one they are for has come up.

    They lie below those that the kernel gives to whoever asks for any port, as every client and every test server
    does, and a name in the kernel, held until this process ends, keeps others of us from choosing the same.
    """
    ephemeral = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(10_000, ephemeral) if ephemeral > 15_000 else range(10_000, 65_536)
    ports: list[int] = []
    for port in random.SystemRandom().sample(candidates, 1_000):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0streamseal-port-{port}")
            with socket.socket() as free:
                free.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _reserved.append(name)
        ports.append(port)
        if len(ports) == count:
            return ports
    raise Failed("no free port was found")


_reserved: list[socket.socket] = []


def answers(url: str) -> bool:
    """Whether a GET of `url` answers 200."""
    try:
        with HTTP.open(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def accepts(port: int) -> bool:
    """Whether something listens on `port`."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        return True
    except OSError:
        return False


def installed(path: str) -> pathlib.Path:
    """`path` under .local/, or clear words if it is not there."""
    if not (LOCAL / path).exists():
        raise Failed(f".local/{path} is missing: run tools/setup")
    return LOCAL / path


def run(main: Callable[[], int | None]) -> NoReturn:
    """Runs a command's `main`; a `Failed` becomes its words and status 1."""
    try:
        sys.exit(main())
    except BrokenPipeError:  # Nobody reads our output any more.
        os._exit(1)
    except Failed as failure:
        sys.exit(f"{sys.argv[0].removeprefix('tools ')}: {failure}")
