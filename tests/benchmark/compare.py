"""Compares fusefs with its peers. Run by run.sh, as root in a mount namespace of its own."""

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import memory
import report
from layers import Layers, Sizes
from systems import System, all_systems
from workloads import CASES, Case

SUBJECT = "fusefs"
PEERS = ["overlayfs", "fuse-overlayfs"]


def measure(case: Case, system: System, layers: Layers, scratch: Path) -> tuple[list[float], int | None]:
    """The seconds of each phase, in a fresh mount, and the requests of all."""
    lowers = layers.split(case.layer_count, case.everywhere) if case.layer_count else layers.lowers
    os.sync()  # nobody pays for what was written before
    try:
        root = system.mount(lowers, scratch, case.uses)
        try:
            return case.run(root, layers), system.requests(root)
        finally:
            system.unmount(root)
    finally:
        shutil.rmtree(scratch)


def compare(
    cases: list[Case], systems: list[System], layers: Layers, scratch: Path, rounds: int
) -> tuple[report.Samples, dict[str, int]]:
    """The times, and how many requests each case took the subject."""
    samples: report.Samples = {}
    requests: dict[str, int] = {}
    for case in cases:
        for phase in case.phases:
            samples[(case.name, phase)] = {system.name: [] for system in systems}
        for round in range(rounds):  # alternating: what disturbs the machine disturbs all
            for system in systems:
                if case.layer_count > system.most_layers or round >= system.most_rounds:
                    continue
                if case.changes_lower and system.writes_lower:
                    continue
                try:
                    times, count = measure(case, system, layers, scratch)
                except subprocess.CalledProcessError as error:
                    if system.name == SUBJECT:
                        raise
                    print(f"  {case.name}: {system.name} cannot (exit status {error.returncode})", file=sys.stderr)
                    continue
                if system.name == SUBJECT:
                    requests[case.name] = count
                for phase, seconds in zip(case.phases, times, strict=True):
                    samples[(case.name, phase)][system.name].append(seconds)
        print(f"  {case.name}: " + "; ".join(
            f"{phase + ' ' if phase else ''}"
            + " ".join(f"{name} {min(row) * 1000:.0f}" for name, row in samples[(case.name, phase)].items() if row)
            for phase in case.phases), flush=True)  # fmt: skip
    return samples, requests


def machine() -> str:
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}, load before {load:.1f}, {datetime.date.today()}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/benchmark/run.sh", description=__doc__)
    parser.add_argument("--fusefs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="smaller trees, one round: about 3 minutes")
    parser.add_argument("--rounds", type=int, help="how often each case is measured (3; 1 with --quick)")
    parser.add_argument("--on", action="append", metavar="DIR", help="where branches lie; tmpfs mounts one (tmpfs)")
    parser.add_argument("--case", action="append", metavar="TEXT", help="only cases with TEXT in their name")
    parser.add_argument("--system", action="append", help="only these systems: native, overlayfs, fusefs...")
    parser.add_argument("--option", default="", metavar="OPTIONS", help="mount options of fusefs")
    parser.add_argument("--fds", type=int, default=0, metavar="N", help="beside fusefs, one that may open only N files")
    parser.add_argument("--no-memory", action="store_true", help="times only")
    parser.add_argument("--output", metavar="DIR", help="write NAME.md and NAME.svg there, for each --on")
    args = parser.parse_args()
    cases = [case for case in CASES if not args.case or any(text in case.name for text in args.case)]
    systems = [system for system in all_systems(args.fusefs, args.option, args.fds) if not args.system or system.name in args.system]
    if not cases or not systems:
        parser.error("no such case or system")
    for system in systems:
        if not system.available():
            print(f"run.sh: {system.name} is left out: {system.program} is not installed", file=sys.stderr)
    systems = [system for system in systems if system.available()]
    for place in args.on or ["tmpfs"]:
        base = Path(tempfile.mkdtemp(prefix="fusefs-benchmark-", dir="/tmp" if place == "tmpfs" else place))
        try:
            if place == "tmpfs":
                subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80%,nr_inodes=0", "tmpfs", str(base)], check=True)
            ask = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(base)]
            kind = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
            title = f"Milliseconds on {kind}, {machine()}"
            print(title, flush=True)
            layers = Layers(base, Sizes(args.quick))
            layers.make()
            samples, requests = compare(cases, systems, layers, base / "run", args.rounds or (1 if args.quick else 3))
            names = [system.name for system in systems]
            text = f"{title}\n\n{report.table(samples, names, SUBJECT, PEERS)}"
            text += "\n" + report.request_table(samples, requests, SUBJECT)
            if not args.no_memory:
                text += "\n" + memory.table(systems, layers, base / "run", 50000 if args.quick else 1000000)
            print(text)
            if args.output:
                name = "tmpfs" if place == "tmpfs" else "disk"
                Path(args.output, f"{name}.md").write_text(text)
                report.plot(samples, names, "overlayfs", Path(args.output, f"{name}.svg"))
        finally:
            if place == "tmpfs":
                subprocess.run(["umount", "-l", str(base)], check=False)
            shutil.rmtree(base, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
