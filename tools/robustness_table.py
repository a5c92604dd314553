#!/usr/bin/env python3
"""Writes the tests of each attack into the last column of the tables in docs/robustness.md.

A test names its attacks (A01 to A98) at the start of its name (A31DeepNesting) or in a comment right above it
("// A31, A46", "# A31"). An attack without a test has a line that says "not built" or "not tested" and why. With --check
nothing is written. Exit code 1 where the file was not up to date, or an attack has neither, both, or no line.
"""
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs/robustness.md"
ATTACKS = [f"A{n:02}" for n in range(1, 99)]
CPP = re.compile(r"^TEST(?:_F|_P)?\(\s*\w+,\s*(\w+)\)", re.MULTILINE)
PYTHON = re.compile(r"^def (test_\w+)", re.MULTILINE)
MARK = re.compile(r"(?://|#) (A\d\d(?:, A\d\d)*)")
ROW = re.compile(r"\| (A\d\d) \| (.*) \| (.*) \|")


def mark_above(lines, number):
    """The attacks that the comment above a test names; decorators may stand between."""
    number -= 1
    while number >= 0 and lines[number].strip() and not MARK.fullmatch(lines[number]):
        if not lines[number].startswith(("@", " ", "]")):
            return []
        number -= 1
    found = MARK.fullmatch(lines[number]) if number >= 0 else None
    return found[1].split(", ") if found else []


def tests_of_attacks():
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    sources = [(CPP, sorted(path for top in ("src", "apps", "tests") for path in (ROOT / top).rglob("*_test.cpp"))),
               (PYTHON, sorted((ROOT / "tests").rglob("test_*.py")))]
    for pattern, paths in sources:
        for path in paths:
            text = path.read_text()
            lines = text.split("\n")
            for test in pattern.finditer(text):
                above = mark_above(lines, text.count("\n", 0, test.start()))
                named = re.match(r"((?:A\d\d)*)", test[1])[1]
                for attack in sorted({*above, *re.findall(r"A\d\d", named)}):
                    found[attack][path.stem].append(test[1])
    return found


def cell(tests):
    return "; ".join(f"`{file}: " + "`, `".join(dict.fromkeys(names)) + "`" for file, names in tests.items())


def main():
    tests, problems, seen, out = tests_of_attacks(), [], collections.Counter(), []
    old = TABLE.read_text()
    for line in old.split("\n"):
        row = ROW.fullmatch(line)
        if row:
            attack, middle, last = row.groups()
            seen[attack] += 1
            excused = last.startswith(("not built", "not tested"))
            if attack in tests and excused:
                problems.append(f"{attack} has tests, but its line says {last}")
            elif attack in tests:
                line = f"| {attack} | {middle} | {cell(tests[attack])} |"
            elif not excused:
                problems.append(f"{attack} has no test, and its line does not say why")
        out.append(line)
    problems += [f"{attack} has {seen[attack]} lines, not one" for attack in ATTACKS if seen[attack] != 1]
    problems += [f"tests name {attack}, which is none" for attack in tests if attack not in ATTACKS]
    new = "\n".join(out)
    if new != old:
        if "--check" in sys.argv:
            problems.append("docs/robustness.md is not up to date: run tools/robustness_table.py")
        else:
            TABLE.write_text(new)
            print("robustness_table: docs/robustness.md written")
    for problem in problems:
        print(f"robustness_table: {problem}")
    print(f"robustness_table: {len(tests)} of {len(ATTACKS)} attacks have tests")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
