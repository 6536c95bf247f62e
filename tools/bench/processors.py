"""The share of a processor that Lambda gives a function, by the cgroup of processors."""

import contextlib
import os
import pathlib
import time

from bench.shape import FULL_SHARE_MB

PERIOD_US = 20_000


class Processors:
    """The cgroup of processors, of version 1 or 2, where it is writable."""

    def __init__(self, stack: contextlib.ExitStack):
        self.root: pathlib.Path | None = None
        self.v2 = False
        base = pathlib.Path("/sys/fs/cgroup")
        first = [(base / "cpu", False), (base / "cpu,cpuacct", False)]
        for place, v2 in [(base, True)] if (base / "cgroup.controllers").exists() else first:
            if v2 and "cpu" not in (place / "cgroup.subtree_control").read_text().split():
                continue
            root = place / f"streamseal-bench-{os.getpid()}"
            with contextlib.suppress(OSError):
                root.mkdir()
                stack.callback(self.remove)
                self.root, self.v2 = root, v2
                return

    def group(self, memory: int) -> pathlib.Path:
        """The folder of the group with the share of `memory` megabytes."""
        assert self.root, "the cgroup of processors is not writable"
        group = self.root / str(memory)
        if not group.exists():
            if self.v2:
                (self.root / "cgroup.subtree_control").write_text("+cpu")
            group.mkdir()
            quota = int(PERIOD_US * memory / FULL_SHARE_MB)
            if self.v2:
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            else:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
        return group

    def remove(self) -> None:
        """Removes what was made."""
        if not self.root:
            return
        for group in [*self.root.glob("[0-9]*"), self.root]:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.05)
