"""What the daemons hold in memory: with very many known files, and twenty of them over the same layers."""

import os
import shutil
import subprocess
import time
from copy import copy
from pathlib import Path

from layers import Layers
from systems import System

MOUNTS = 20
WALKS = 10


def _many(base: Path, files: int) -> Path:
    layer = base / "many"
    for d in range(files // 1000):
        (layer / f"directory{d}").mkdir(parents=True)
        at = os.open(layer / f"directory{d}", os.O_RDONLY)
        for i in range(1000):
            os.close(os.open(f"file{i:04}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=at))
        os.close(at)
    return layer


def _walk(root: Path) -> float:
    start = time.perf_counter()
    subprocess.run(["find", ".", "-size", "+1"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _forget() -> None:
    """Makes the kernel forget what it can."""
    Path("/proc/sys/vm/drop_caches").write_text("2")
    time.sleep(2)


def _after_walks(system: System, root: Path) -> int:
    for _ in range(WALKS - 1):
        _walk(root)
        _forget()
    _walk(root)
    return system.memory()


def table(systems: list[System], layers: Layers, scratch: Path, files: int) -> str:
    """A line for each system that has a daemon."""
    many = _many(scratch / "many-layer", files)
    lines = [
        f"| system | first walk over {files} files, s | second, s | MiB | bytes a file | after the kernel forgot them, MiB "
        f"| known again after {WALKS} walks, each forgotten, MiB | {MOUNTS} mounts, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for system in systems:
        if not system.program:
            continue
        root = system.mount([many], scratch / "one")
        first, second = _walk(root), _walk(root)
        known = system.memory()
        _forget()
        forgotten = system.memory()
        again = "-" if system.is_peer else _after_walks(system, root) >> 20
        system.unmount(root)
        shutil.rmtree(scratch / "one")
        mounts = [copy(system) for _ in range(MOUNTS)]
        roots = [mount.mount(layers.lowers, scratch / str(i)) for i, mount in enumerate(mounts)]
        for root in roots:
            subprocess.run(["find", "tree"], cwd=root, check=True, stdout=subprocess.DEVNULL)
        together = sum(mount.memory() for mount in mounts)
        for mount, root in zip(mounts, roots, strict=True):
            mount.unmount(root)
            shutil.rmtree(root.parent)
        cells = [f"{first:.1f}", f"{second:.1f}", known >> 20, known // files, forgotten >> 20, again, together >> 20]
        lines.append(f"| {system.name} | " + " | ".join(map(str, cells)) + " |")
    shutil.rmtree(scratch / "many-layer")
    return "\n".join(lines) + "\n"
