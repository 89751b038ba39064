"""What is measured. A case works in a fresh mount and gives the seconds of each of its phases."""

import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from layers import MIB, Layers


@dataclass
class Case:
    name: str
    phases: list[str]
    run: Callable[[Path, Layers], list[float]]
    uses: list[str]  # of what the layers hold
    changes_lower: bool = False  # changes or removes what is in a lower layer: needs copy-on-write
    layer_count: int = 0  # not 0: over the tree dealt out to so many layers
    everywhere: bool = False  # each of which holds every directory


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _shell(command: str, at: Path) -> float:
    return _timed(lambda: subprocess.run(["sh", "-ec", command], cwd=at, check=True, stdout=subprocess.DEVNULL))


def _repeat(command: str, times: int = 3) -> Callable[[Path, Layers], list[float]]:
    return lambda root, layers: [_shell(command, root) for _ in range(times)]


FIND = "find tree -size +100k"
READ = "find tree -type f -print0 | xargs -0 cat"


def _python(root: Path, _: Layers) -> list[float]:
    imports = "import " + ", ".join(f"module{i}" for i in range(100))
    command = [sys.executable, "-B", "-S", "-c", imports]
    environment = {**os.environ, "PYTHONPATH": str(root / "modules")}
    return [_timed(lambda: subprocess.run(command, check=True, env=environment)) for _ in range(2)]


WITH_LAYERS = ["find", "find again", "read", "read again", "python", "python again"]


def _find_read_start(root: Path, layers: Layers) -> list[float]:
    return [_shell(command, root) for command in (FIND, FIND, READ, READ)] + _python(root, layers)


def _read_big(root: Path, _: Layers) -> list[float]:
    return [_shell("dd if=big of=/dev/null bs=1M status=none", root) for _ in range(2)]


def _read_cold(root: Path, _: Layers) -> list[float]:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    return [_shell("dd if=big of=/dev/null bs=1M status=none", root)]


def _untar(root: Path, layers: Layers) -> list[float]:
    return [
        _shell(f"mkdir new && tar -C new -xf {layers.tarball}", root),
        _shell("rm -rf new", root),
    ]


def _remove_lower(root: Path, _: Layers) -> list[float]:
    return [_shell("rm -rf removed", root)]


def _git(root: Path, _: Layers) -> list[float]:
    return [
        _shell("git -c safe.directory='*' clone -q repo clone", root),
        _shell("git status", root / "clone"),
        _shell("git grep -q 'line 0.1' && git grep -c of", root / "clone"),
        _shell("git checkout -q origin/other", root / "clone"),
    ]


def _sqlite(root: Path, layers: Layers) -> list[float]:
    def commits() -> None:
        database = sqlite3.connect(root / "empty" / "db", isolation_level=None)
        for i in range(layers.sizes.commits):
            database.execute("insert into t values (?, ?)", (i, "v" * 100))
        database.close()

    return [_timed(commits)]


def _write_big(root: Path, layers: Layers) -> list[float]:
    count = layers.sizes.written // MIB
    return [_shell(f"dd if=/dev/zero of=written bs=1M count={count} conv=fsync status=none", root)]


def _small_writes(root: Path, layers: Layers) -> list[float]:
    return [_shell(f"dd if=/dev/zero of=small bs=512 count={layers.sizes.small_writes} status=none", root)]


def _first_byte(root: Path, _: Layers) -> list[float]:
    def write() -> None:
        fd = os.open(root / "big", os.O_WRONLY)
        os.pwrite(fd, b"x", 0)
        os.close(fd)

    return [_timed(write)]


def _beside_copy_up(root: Path, layers: Layers) -> list[float]:
    """What others do while a large lower file is copied up."""
    other = root / "beside"

    def work() -> None:
        for i in range(500):
            other.write_bytes(b"x" * 2000)
            other.stat()
            other.unlink()

    with ThreadPoolExecutor(1) as pool:
        copied = pool.submit(_first_byte, root, layers)
        took = _timed(work)
        copied.result()
    return [took]


def _chmod(root: Path, _: Layers) -> list[float]:
    return [_shell("chmod -R o-r removed", root)]


def _chown(root: Path, _: Layers) -> list[float]:
    return [_shell("chown -R 1:1 removed", root)]


def _build(root: Path, _: Layers) -> list[float]:
    return [_shell("sh configure && make -s -j2", root / "project")]


def _fio(root: Path, layers: Layers) -> list[float]:
    size = layers.sizes.fio
    (root / "fio").write_bytes(b"\1" * size)
    command = f"fio --name=f --filename=fio --rw=randrw --bs=4k --size={size} --ioengine=psync --fallocate=none --randseed=1"
    return [_shell(command, root)]


def _writers(root: Path, layers: Layers) -> list[float]:
    share = layers.sizes.writers // 4
    one = 'import os,sys\nfor i in range(%d):\n with open(f"w{sys.argv[1]}-{i}", "w") as f: f.write("x" * 2000)' % share
    start = "".join(f"python3 -S -c '{one}' {i} & " for i in range(4))
    return [_shell(f"{start} wait", root)]


def _readers(root: Path, _: Layers) -> list[float]:
    directories = sorted(path for path in (root / "tree").iterdir() if path.is_dir())

    def read(share: int) -> None:
        names = [str(path) for path in directories[share::8]]
        if names:
            subprocess.run(["sh", "-c", 'find "$@" -type f -print0 | xargs -0 cat >/dev/null', "sh", *names], check=True)

    def all_at_once() -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(read, range(8)))

    return [_timed(all_at_once)]


CASES = [
    Case("find -size", ["first", "second", "third"], _repeat(FIND), ["tree"]),
    Case("read all files", ["first", "second", "third"], _repeat(READ), ["tree"]),
    Case("python, 100 modules", ["first", "second"], _python, ["modules"]),
    Case("read a large file", ["first", "second"], _read_big, ["big"]),
    Case("read a large file, caches dropped", [""], _read_cold, ["big"]),
    Case("untar", ["untar", "rm -rf"], _untar, ["empty"]),
    Case("rm -rf of a lower tree", [""], _remove_lower, ["removed"], changes_lower=True),
    Case("git", ["clone", "status", "grep", "checkout"], _git, ["repo"]),
    Case("sqlite commits", [""], _sqlite, ["empty"], changes_lower=True),
    Case("write a large file, fsync", [""], _write_big, ["empty"]),
    Case("writes of 512 bytes", [""], _small_writes, ["empty"]),
    Case("first byte into a large lower file", [""], _first_byte, ["big"], changes_lower=True),
    Case("500 files beside a copy-up", [""], _beside_copy_up, ["big"], changes_lower=True),
    Case("chmod -R of a lower tree", [""], _chmod, ["removed"], changes_lower=True),
    Case("chown -R of a lower tree", [""], _chown, ["removed"], changes_lower=True),
    Case("C project", ["configure, make"], _build, ["project"], changes_lower=True),
    Case("fio random 4 KiB", [""], _fio, ["empty"]),
    Case("4 writers, small files", [""], _writers, ["empty"]),
    Case("8 readers", [""], _readers, ["tree"]),
    Case("large directory", ["ls", "ls again", "ls -l"], lambda root, _: [_shell(c, root) for c in ("ls -f crowd", "ls -f crowd", "ls -l crowd")], ["crowd"]),
    Case("1 layer", WITH_LAYERS, _find_read_start, ["tree", "modules"], layer_count=1),
    Case("16 layers", WITH_LAYERS, _find_read_start, ["tree", "modules"], layer_count=16),
    Case("128 layers", WITH_LAYERS, _find_read_start, ["tree", "modules"], layer_count=128),
    Case("128 layers, each directory in all", WITH_LAYERS, _find_read_start, ["tree", "modules"], layer_count=128, everywhere=True),
]
