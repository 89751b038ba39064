"""The figures as a table and as a plot."""

import statistics
import subprocess
from pathlib import Path

Samples = dict[tuple[str, str], dict[str, list[float]]]  # (case, phase) to system to seconds, a round each


def _milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _cell(samples: list[float]) -> str:
    if not samples:
        return "-"
    text = _milliseconds(statistics.median(samples))
    return f"{text} ±{_milliseconds((max(samples) - min(samples)) / 2)}" if len(samples) > 1 else text


def _ratio(row: dict[str, list[float]], system: str, other: str) -> float | None:
    if not row.get(system) or not row.get(other):
        return None
    return statistics.median(row[system]) / statistics.median(row[other])


def table(samples: Samples, systems: list[str], subject: str, peers: list[str]) -> str:
    """Milliseconds: the median and half the spread of the rounds. Then the subject's time as a multiple of each peer's."""
    head = ["case", *systems, *(f"/ {peer}" for peer in peers)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (case, phase), row in samples.items():
        cells = [f"{case}: {phase}" if phase else case]
        cells += [_cell(row.get(system, [])) for system in systems]
        for peer in peers:
            ratio = _ratio(row, subject, peer)
            cells.append("-" if ratio is None else f"{ratio:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    for peer in peers:
        ratios = [ratio for row in samples.values() if (ratio := _ratio(row, subject, peer)) is not None]
        if ratios:
            lines.append(f"\n{subject} / {peer}: median {statistics.median(ratios):.2f}, worst {max(ratios):.2f}")
    return "\n".join(lines) + "\n"


def request_table(samples: Samples, requests: dict[str, int], subject: str, base: str = "native") -> str:
    """What the subject's requests cost: its time beyond that of `base`, all phases together, for each of them."""
    lines = [f"| case | requests to {subject} | ms beyond {base} | µs for each |", "|---|---|---|---|"]
    for case, count in requests.items():
        rows = [row for (name, _), row in samples.items() if name == case]
        if not all(row.get(base) for row in rows):
            continue
        beyond = sum(statistics.median(row[subject]) - statistics.median(row[base]) for row in rows)
        lines.append(f"| {case} | {count} | {_milliseconds(beyond)} | {beyond * 1e6 / count:.0f} |")
    return "\n".join(lines) + "\n"


def plot(samples: Samples, systems: list[str], base: str, path: Path) -> None:
    """Bars of the times as multiples of the system `base`, by gnuplot."""
    rows = []
    for (case, phase), row in samples.items():
        if not row.get(base):
            continue
        ratios = [_ratio(row, system, base) for system in systems]
        label = f"{case}: {phase}" if phase else case
        rows.append(f'"{label}" ' + " ".join("NaN" if ratio is None else f"{ratio:.3f}" for ratio in ratios))
    data = path.with_suffix(".dat")
    data.write_text("\n".join(rows) + "\n")
    columns = ", ".join(
        f"'{data}' using {i + 2}{':xtic(1)' if i == 0 else ''} title '{name}'" for i, name in enumerate(systems)
    )
    script = (
        f"set terminal svg size 1500,640 font 'sans,11' background 'white'\nset output '{path}'\n"
        "set style data histograms\nset style fill solid 0.85\nset boxwidth 0.9\n"
        f"set logscale y 2\nset ylabel 'time, {base} = 1'\nset xtics rotate by -40 scale 0\nset grid y\n"
        f"set key top left horizontal\nplot {columns}, 1 with lines dashtype 2 lc 'gray' notitle\n"
    )
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    data.unlink()
