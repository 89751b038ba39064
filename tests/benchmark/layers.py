"""The layers that every system is given, made once: deterministic trees, so that two runs measure the same work."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

MIB = 1 << 20


class Sizes:
    """How much of everything there is."""

    def __init__(self, quick: bool):
        self.files = 3000 if quick else 14500
        self.dirs = 300 if quick else 1500
        self.removed = 1000 if quick else 6000
        self.big = (256 if quick else 1024) * MIB
        self.crowd = 10000 if quick else 100000  # entries of the one large directory
        self.repo = 400 if quick else 2000
        self.units = 8 if quick else 40  # C files of the project
        self.commits = 100 if quick else 500
        self.small_writes = 20000 if quick else 100000
        self.fio = (32 if quick else 128) * MIB
        self.written = (256 if quick else 1024) * MIB
        self.writers = 500 if quick else 2000  # files of the four writers together


def _write(path: Path, size: int, source: random.Random) -> None:
    path.write_bytes(source.randbytes(min(size, 4096)) * (size // 4096 + 1) if size > 4096 else source.randbytes(size))


def _tree(root: Path, files: int, dirs: int, seed: int) -> None:
    """As an unpacked system looks: a few directories deep, most files small."""
    source = random.Random(seed)
    places = [root]
    root.mkdir(parents=True)
    for i in range(dirs):
        parent = places[source.randrange(max(1, len(places) // 3), len(places) + 1) - 1]
        place = parent / f"d{i}"
        place.mkdir()
        places.append(place)
    for i in range(files):
        size = int(min(source.lognormvariate(7.8, 1.4), 400000))
        _write(places[source.randrange(len(places))] / f"f{i}.txt", size, source)


def _project(root: Path, units: int) -> None:
    """A C program with a configure script that compiles small probes, as autoconf's do."""
    root.mkdir()
    for i in range(units):
        (root / f"u{i}.h").write_text(f"#pragma once\nint unit{i}(int);\n")
        body = "".join(f"static int f{j}(int x) {{ return x * {j + 3} % {i + 7}; }}\n" for j in range(60))
        calls = " + ".join(f"f{j}(x)" for j in range(60))
        (root / f"u{i}.c").write_text(
            f'#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include "u{i}.h"\n{body}'
            f"int unit{i}(int x) {{ return {calls}; }}\n"
        )
    includes = "".join(f'#include "u{i}.h"\n' for i in range(units))
    total = " + ".join(f"unit{i}(c)" for i in range(units))
    (root / "main.c").write_text(f"{includes}int main(int c, char **v) {{ (void)v; return ({total}) == 1; }}\n")
    objects = " ".join(f"u{i}.o" for i in range(units))
    (root / "Makefile").write_text(f"program: main.o {objects}\n\tcc -o $@ $^\n%.o: %.c config.h\n\tcc -O1 -c -o $@ $<\n")
    probes = "stdio stdlib string unistd fcntl errno signal time pwd grp limits stdint stddef ctype math"
    (root / "configure").write_text(
        f'#!/bin/sh\n: > config.h\nfor h in {probes}; do\n  echo "#include <$h.h>" > probe.c\n'
        '  cc -c probe.c -o probe.o && echo "#define HAVE_$h 1" >> config.h\n  rm -f probe.c probe.o\ndone\n'
    )


def _repository(root: Path, files: int) -> None:
    def git(*args: str) -> None:
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        subprocess.run(["git", "-C", str(root), *identity, *args], check=True, stdout=subprocess.DEVNULL)

    source = random.Random(5)
    root.mkdir()
    git("init", "-q", "-b", "main")
    for i in range(files):
        path = root / f"dir{i % 50}" / f"file{i}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"line {source.random()} of {i}\n" for _ in range(40)))
    git("add", ".")
    git("commit", "-q", "-m", "one")
    git("checkout", "-q", "-b", "other")
    for i in range(0, files, 4):
        (root / f"dir{i % 50}" / f"file{i}.txt").write_text(f"other {i}\n")
    git("commit", "-q", "-a", "-m", "two")
    git("checkout", "-q", "main")


def _modules(root: Path) -> None:
    """100 Python modules, compiled."""
    root.mkdir()
    for i in range(100):
        functions = "".join(f"def f{j}(x):\n    return x + {j}\n" for j in range(40))
        (root / f"module{i}.py").write_text(f"import os\n{functions}")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(root)], check=True)


class Layers:
    """Two lower layers and what the cases take from outside. `upper_of` the two overrides a tenth of the tree."""

    def __init__(self, base: Path, sizes: Sizes):
        self.base, self.sizes = base, sizes
        self.lowers = [base / "layer1", base / "layer2"]
        self.tarball = base / "tree.tar"

    def make(self) -> None:
        top, bottom = self.lowers
        top.mkdir(parents=True)
        bottom.mkdir()
        _tree(bottom / "tree", self.sizes.files, self.sizes.dirs, 1)
        for path in sorted((bottom / "tree").rglob("*.txt"))[::10]:
            copy = top / path.relative_to(bottom)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        _tree(bottom / "removed", self.sizes.removed, self.sizes.removed // 10, 2)
        with open(bottom / "big", "wb") as big:
            block = random.Random(3).randbytes(MIB)
            for _ in range(self.sizes.big // MIB):
                big.write(block)
        (bottom / "crowd").mkdir()
        for i in range(self.sizes.crowd):
            os.close(os.open(bottom / "crowd" / f"entry{i:06}", os.O_CREAT | os.O_WRONLY, 0o644))
        _repository(bottom / "repo", self.sizes.repo)
        _modules(bottom / "modules")
        _project(bottom / "project", self.sizes.units)
        (bottom / "empty").mkdir()
        with sqlite3.connect(bottom / "empty" / "db") as database:
            database.execute("create table t (k integer primary key, v text)")
        database.close()
        subprocess.run(["tar", "-C", str(bottom), "-cf", str(self.tarball), "tree"], check=True)

    def split(self, count: int, everywhere: bool = False) -> list[Path]:
        """The tree and the modules dealt out to `count` layers as images have them: each directory's files are in one,
        with its parents. `everywhere`: file by file, so that every layer holds every directory."""
        root = self.base / f"split{count}{'everywhere' if everywhere else ''}"
        layers = [root / str(i) for i in range(count)]
        if root.exists():
            return layers
        for layer in layers:
            layer.mkdir(parents=True)
        for name in ("tree", "modules"):
            self._deal(name, layers, everywhere)
        return layers

    def _deal(self, name: str, layers: list[Path], everywhere: bool) -> None:
        bottom = self.lowers[1]
        paths = [bottom / name, *sorted((bottom / name).rglob("*"))]
        directories = [path for path in paths if path.is_dir()]
        home = {path: layers[i % len(layers)] for i, path in enumerate(directories)}
        for path in directories:
            for layer in layers if everywhere else [home[path]]:
                (layer / path.relative_to(bottom)).mkdir(parents=True, exist_ok=True)
        for i, path in enumerate(path for path in paths if not path.is_dir()):
            layer = layers[i % len(layers)] if everywhere else home[path.parent]
            shutil.copy2(path, layer / path.relative_to(bottom))  # links would be files of many names
