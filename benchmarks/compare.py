"""Two results of `benchmarks/speed.py --json`, side by side: compare.py A.json B.json.

Median milliseconds of ours in A and in B. Machines differ, and so does what else they
do: beside the times is what is to be compared, how many times as long as ours the best
other contender of the same run took, above 1 where ours was faster.
"""

import json
import pathlib
import sys

_NOT_OTHERS = ("ours", "floor", "steps alone")


def lead(part: dict[str, dict[str, float]]) -> float | None:
    """The best other contender's median over ours; None without one."""
    others = [one["median"] for name, one in part.items() if name not in _NOT_OTHERS]
    return min(others) / part["ours"]["median"] if others else None


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    if len(arguments) != 2:
        print("usage: compare.py A.json B.json", file=sys.stderr)
        return 2
    before, after = (json.loads(pathlib.Path(name).read_text()) for name in arguments)
    for name, result in zip("AB", (before, after), strict=True):
        print(name, ", ".join(f"{k} {v}" for k, v in result["machine"].items()))
    print(f"{'':48}{'A ms':>9}{'B ms':>9}{'B/A':>7}{'A lead':>8}{'B lead':>8}")
    for title, first in before["parts"].items():
        if title not in after["parts"]:
            continue
        second = after["parts"][title]
        a, b = (1e3 * part["ours"]["median"] for part in (first, second))
        leads = "".join(
            f"{found:8.2f}" if found else f"{'':8}"
            for found in map(lead, (first, second))
        )
        print(f"{title:48}{a:9.2f}{b:9.2f}{b / a:7.2f}{leads}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
