"""The systems that are compared: how each is mounted over the same layers, and unmounted."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path


class System:
    """One kind of union. `mount` gives the directory to work in; `writes_lower`: it has no copy-on-write."""

    name = ""
    program = ""  # what must be on PATH, or the path of it
    writes_lower = False
    is_peer = True
    # Beyond these a case is left out, since it takes minutes.
    most_layers = 500
    most_rounds = 100

    def command(self, lowers: list[Path], upper: Path, work: Path, mountpoint: Path) -> list[str]:
        raise NotImplementedError

    def available(self) -> bool:
        return not self.program or shutil.which(self.program) is not None

    def mount(self, lowers: list[Path], scratch: Path, uses: list[str] | None = None) -> Path:
        """`uses`: all that is asked for of what is in the layers, where that matters."""
        upper, work, mountpoint = scratch / "upper", scratch / "work", scratch / "mnt"
        for path in (upper, work, mountpoint):
            path.mkdir(parents=True)
        before = _pids()
        command = self.command(lowers, upper, work, mountpoint)
        # From where the layers lie, since the kernel's overlayfs takes one page of options.
        subprocess.run(command, check=True, cwd=lowers[0].parent, stderr=subprocess.DEVNULL if self.is_peer else None)
        deadline = time.monotonic() + 10
        while not os.path.ismount(mountpoint):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not mount within 10 s")
            time.sleep(0.01)
        name = Path(self.program).name[:15]
        self.daemons = [pid for pid in _pids() - before if name and _name_of(pid) == name]
        return mountpoint

    def unmount(self, mountpoint: Path) -> None:
        subprocess.run(["umount", str(mountpoint)], check=True)
        deadline = time.monotonic() + 20
        while any(_runs(pid) for pid in self.daemons) and time.monotonic() < deadline:
            time.sleep(0.01)

    def requests(self, mountpoint: Path) -> int | None:
        """How many requests it has had in this mount, if it tells; those that nobody waits for are not counted."""
        return None

    def memory(self) -> int:
        """What the daemon of the last mount holds, in bytes, shared pages counted by their share."""
        return sum(_pss(pid) for pid in self.daemons)


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _runs(pid: int) -> bool:
    """Whether it has not ended; that nobody has waited for it yet does not matter."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


class Native(System):
    """A plain directory: a copy of what is used of the layers."""

    name = "native"

    def mount(self, lowers, scratch, uses=None):
        root = scratch / "native"
        root.mkdir(parents=True)
        for lower in reversed(lowers):
            used = [lower / name for name in uses or os.listdir(lower) if (lower / name).exists()]
            if used:
                subprocess.run(["cp", "-a", *map(str, used), str(root)], check=True)
        return root

    def unmount(self, mountpoint: Path) -> None:
        pass


def _layers_option(lowers: list, upper: Path, work: Path) -> str:
    return f"lowerdir={':'.join(map(str, lowers))},upperdir={upper},workdir={work}"


class KernelOverlayfs(System):
    name = "overlayfs"
    options = ""

    def command(self, lowers, upper, work, mountpoint):
        option = _layers_option([lower.name for lower in lowers], upper, work) + self.options
        return ["mount", "-t", "overlay", "overlay", "-o", option, str(mountpoint)]


class KernelOverlayfsMetacopy(KernelOverlayfs):
    name = "overlayfs metacopy"
    options = ",metacopy=on,redirect_dir=on"


class Fusefs(System):
    name = "fusefs"
    is_peer = False

    def __init__(self, program: str, options: str = "", fds: int = 0):
        """`fds`: as many as it may open; 0: as the user may."""
        self.program, self.options = program, options
        self.limit = ["prlimit", f"--nofile={fds}:{fds}"] if fds else []
        self.name = f"fusefs, {fds} fds" if fds else "fusefs"

    def command(self, lowers, upper, work, mountpoint):
        option = _layers_option(lowers, upper, work) + ",allow_other" + (f",{self.options}" if self.options else "")
        return [*self.limit, self.program, "-o", option, str(mountpoint)]

    def requests(self, mountpoint):
        command = [self.program, "stats", str(mountpoint), "--json"]
        counts = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["requests"]
        return sum(count for name, count in counts.items() if name not in ("FORGET", "BATCH_FORGET"))


class FuseOverlayfs(System):
    name = "fuse-overlayfs"
    program = "fuse-overlayfs"

    def command(self, lowers, upper, work, mountpoint):
        return [self.program, "-o", _layers_option(lowers, upper, work), str(mountpoint)]


class UnionfsFuse(System):
    name = "unionfs-fuse"
    program = "unionfs"
    most_layers = 16
    most_rounds = 1

    def command(self, lowers, upper, work, mountpoint):
        branches = ":".join([f"{upper}=RW", *(f"{lower}=RO" for lower in lowers)])
        return [self.program, "-o", "cow,allow_other,default_permissions", branches, str(mountpoint)]


class Mergerfs(System):
    name = "mergerfs"
    program = "mergerfs"
    most_layers = 16
    most_rounds = 1
    writes_lower = True

    def command(self, lowers, upper, work, mountpoint):
        branches = ":".join([str(upper), *(f"{lower}=NC" for lower in lowers)])
        option = "cache.files=auto-full,category.create=ff,allow_other"
        return [self.program, "-o", option, branches, str(mountpoint)]


def all_systems(fusefs: str, options: str, fds: int) -> list[System]:
    """`fds`: not 0 for a second fusefs, with so many."""
    ours = [Fusefs(fusefs, options)] + ([Fusefs(fusefs, options, fds)] if fds else [])
    return [Native(), KernelOverlayfs(), KernelOverlayfsMetacopy(), *ours, FuseOverlayfs(), UnionfsFuse(), Mergerfs()]
