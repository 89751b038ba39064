#!/usr/bin/env python3
"""The table of start.sh: `start_report.py BASE FILE...`, with hyperfine's results, a file for each round."""

import json
import statistics
import sys


def main(base: str, files: list[str]) -> None:
    """Prints the median of each command's runs in all rounds, half of what the middle half of them spans, and its ratio to BASE."""
    times: dict[str, list[float]] = {}
    for file in files:
        with open(file, encoding="utf-8") as results:
            for result in json.load(results)["results"]:
                times.setdefault(result["command"], []).extend(result["times"])
    print(f"| | ms | times {base} |\n|---|---|---|")
    for command, samples in times.items():
        low, _, high = statistics.quantiles(samples, n=4)
        ratio = statistics.median(samples) / statistics.median(times[base])
        print(f"| {command} | {statistics.median(samples) * 1000:.1f} ±{(high - low) * 500:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
