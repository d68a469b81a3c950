"""Gathers the results of several runs, finished or not, in one table.

    cleannet table checkpoints/*
    cleannet table checkpoints/thumos14-full-seed* --csv sweep.csv

A row is a method of a run, with the fields of the config in which the runs differ.
What was evaluated on other data, subsets, protocols or tIoU thresholds stands under a
heading of its own. The folder of an ablation counts as its cells.
"""

import argparse

from cleannet_jax.programs import options


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("table", __doc__, takes="RUN... ")
    made.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs")
    made.add_option("--csv", metavar="FILE", help="write the table as CSV too")
    return made


def run(parsed: argparse.Namespace) -> int:
    """Prints the table."""
    from cleannet_jax.data import files
    from cleannet_jax.report import runs

    mark = {".csv": r"^\W*run,method,seed"}
    options.check_output("--csv", parsed.csv, *parsed.runs, mark=mark)
    found = runs.collect(parsed.runs)
    print(runs.as_text(found))
    if parsed.csv:
        with files.open_atomic(parsed.csv) as file:
            file.write(runs.as_csv(found))
    return 0
