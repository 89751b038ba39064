#!/usr/bin/env python3
"""Reads tests/mutation/mutations.txt, the table of code broken on purpose. Used by run.sh and tests/lint.sh.

Usage: mutations.py check               is each text still there, once, and each test?
       mutations.py list [WORD]         number, test target, filter and title of each mutation, separated by tabs
       mutations.py apply NUMBER TREE   breaks the code in the directory TREE; prints the file it changed
"""

import fnmatch
import functools
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def read_table():
    """The mutations in their order; what is no mutation ends the program."""
    table = []
    with open(os.path.join(HERE, "mutations.txt"), encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if line.startswith("= "):
                table.append({"title": line[2:], "old": [], "new": []})
            elif line.startswith("file ") and table:
                table[-1]["file"] = line[5:]
            elif line.startswith("test ") and table and len(line.split()) == 3:
                table[-1]["target"], table[-1]["filter"] = line.split()[1:]
            elif line[:2] in ("- ", "+ ") and table:
                table[-1]["old" if line[0] == "-" else "new"].append(line[2:])
            elif line and not line.startswith("#"):
                sys.exit(f"mutations.txt:{number}: not understood: {line}")
    for mutation in table:
        if not all(mutation.get(key) for key in ("file", "target", "filter", "old")):
            sys.exit(f"mutations.txt: '{mutation['title']}' lacks a file, a test or a text to replace")
        mutation["old"], mutation["new"] = ("\n".join(mutation[key]) for key in ("old", "new"))
    return table


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


@functools.cache
def tests_of(target):
    """The names of all tests in the sources beside the target: more than its own, which is good enough to find typos."""
    names = []
    for path in glob.glob(os.path.join(ROOT, target[2:].split(":")[0], "*.cc")):
        names += re.findall(r"^TEST_?[FP]?\((\w+),\s*(\w+)\)", read(path), re.M)
    return [".".join(name) for name in names]


def check(table):
    stale = 0
    for mutation in table:
        count = read(os.path.join(ROOT, mutation["file"])).count(mutation["old"])
        problems = [] if count == 1 else [f"its text is {count} times in {mutation['file']}, not once"]
        for pattern in mutation["filter"].split(":"):
            # Of a test with parameters the names are longer at both ends.
            if not fnmatch.filter(tests_of(mutation["target"]), re.sub(r"(\..*?)/.*", r"\1", pattern)):
                problems.append(f"there is no test {pattern}")
        for problem in problems:
            print(f"mutations.txt: '{mutation['title']}': {problem}", file=sys.stderr)
        stale += bool(problems)
    return 1 if stale else 0


def apply(mutation, tree):
    path = os.path.join(tree, mutation["file"])
    text = read(path)
    if text.count(mutation["old"]) != 1:
        return 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(mutation["old"], mutation["new"]))
    print(mutation["file"])
    return 0


def main(args):
    table = read_table()
    if args == ["check"]:
        return check(table)
    if args[:1] == ["list"] and len(args) <= 2:
        for number, mutation in enumerate(table):
            row = [str(number), mutation["target"], mutation["filter"], mutation["title"]]
            if len(args) == 1 or args[1].lower() in "\t".join(row + [mutation["file"]]).lower():
                print("\t".join(row))
        return 0
    if args[:1] == ["apply"] and len(args) == 3:
        return apply(table[int(args[1])], args[2])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
