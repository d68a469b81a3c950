"""Tables of a few cells, written out by hand."""

import csv
import io

import pytest

from cleannet_jax.report import tables

ROWS = [["method", "0.50", "mean"], ["full", "7.1", "12.25"]]


def test_columns_are_as_wide_as_their_widest_cell():
    assert tables.aligned(ROWS) == [
        "method  0.50   mean",
        "full     7.1  12.25",
    ]


def test_least_widths_include_the_gap_and_the_last_one_goes_on():
    assert tables.aligned(ROWS, widths=(8, 7)) == [
        "method     0.50   mean",
        "full        7.1  12.25",
    ]
    assert tables.aligned([["a", "b"]], widths=(2, 3, 9)) == ["a   b"]
    assert tables.aligned(ROWS, gap=1)[1] == "full    7.1 12.25"


def test_lines_end_with_text():
    assert tables.aligned([["a", "seeds"], ["b", ""]]) == ["a  seeds", "b"]


def test_rows_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        tables.aligned([["a", "b"], ["c"]])


def test_csv_comes_back():
    rows = [["name, of a run", "mean"], ['a "b"', "7.1"]]
    assert list(csv.reader(io.StringIO(tables.as_csv(rows)))) == rows


def test_latex_is_one_tabular():
    assert tables.as_latex(ROWS) == [
        r"\begin{tabular}{lrr}",
        r"\hline",
        r"method & 0.50 & mean \\",
        r"\hline",
        r"full & 7.1 & 12.25 \\",
        r"\hline",
        r"\end{tabular}",
    ]
