"""Charts of a report: ticks, gaps, spikes, and that nothing in the SVG can clash with another chart
or reach outside."""

import math
import re

import pytest

from multigen.runs.facts import Curve
from multigen.runs.plots import short
from multigen.runs.report.charts import chart, thinned

HOSTILE = '"><script>alert(1)</script><img src=http://example.org/x onerror=alert(2)>'


def test_thinning_keeps_spikes_and_gaps() -> None:
    curve = [(float(i), math.sin(i / 500)) for i in range(20_000)]
    curve[7777] = (7777.0, 50.0)
    curve[12345] = (12345.0, math.nan)
    result = thinned(curve)
    assert len(result) <= 502
    assert (7777.0, 50.0) in result and any(math.isnan(v) for _, v in result)
    assert result == sorted(result, key=lambda p: p[0])


def test_axes() -> None:
    def ticks(low: float, high: float) -> tuple[list[str], list[str]]:
        """Below the axis along, and beside the one up."""
        drawn = chart("t", {"a": [(0, low), (9, high)]}, (0, 9))
        texts = re.findall(r'<text x="[\d.]+" y="([\d.]+)" text-anchor="\w+">([^<]*)</text>', drawn)
        return [text for y, text in texts if float(y) > 170], [text for y, text in texts if float(y) <= 170]

    assert ticks(0, 10) == (["0", "2", "4", "6", "8"], ["0", "2", "4", "6", "8", "10"])
    assert ticks(0, 2e6)[1] == ["0", "500k", "1M", "1.5M", "2M"]
    for low, high in ((0, 1), (3, 3.7), (-1e5, 2e6), (1e-9, 4e-9), (5, 5), (0, 0)):
        assert 3 <= len(ticks(low, high)[1]) <= 8
    decades = chart("t", {"a": [(0, 1e-4), (1, 1.0)]}, (0, 1))
    assert "logarithmic" in decades and ">0.01<" in decades
    assert "logarithmic" not in chart("t", {"a": [(0, -1e-4), (1, 1.0)]}, (0, 1))


def test_a_gap_parts_a_line_and_leaves_lone_points_as_dots() -> None:
    curve: Curve = [(0, 1.0), (1, 2.0), (2, math.nan), (3, 1.0), (4, math.inf), (5, 1.0), (6, 2.0)]
    drawn = chart("t", {"a": curve}, (0, 6))
    line = re.search(r'<path class="line c0" d="([^"]*)"', drawn)
    assert line is not None and line[1].count("M") == 2
    assert drawn.count('class="dot c0"') == 1
    assert "no finite value" in chart("t", {"a": [(0, math.nan)]}, (0, 6))
    assert '<path class="line' not in chart("t", {"a": [(0, 1.0)]}, (0, 6))  # a single point is a dot


def test_a_chart_is_small_and_has_nothing_that_a_page_may_hold_once() -> None:
    curves = {HOSTILE: [(float(i), math.sin(i)) for i in range(20_000)], "b": [(float(i), -1.0) for i in range(20_000)]}
    drawn = chart(HOSTILE, curves, (0, 20_000), (7, 0.5))
    assert len(drawn) < 60_000
    assert "alert(1)" in drawn and "<script" not in drawn and "<img" not in drawn
    assert not re.search(r"\b(id|style|href|xlink:href|xmlns)=|url\(|<defs|<style|<use", drawn)
    labels = re.findall(r"<text [^>]*>([^<]*)</text>", drawn)
    assert {"0", "10k", "20k"} <= set(labels)  # as text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0002, "0.0002"),
        (0.00019, "1.9e-4"),
        (-0.0123, "-0.0123"),
        (-1.394, "-1.39"),
        (1500, "1500"),
        (12_340, "12.3k"),
        (3e6, "3M"),
        (1e-9, "1e-09"),
    ],
)
def test_numbers_on_axes_are_short(value: float, text: str) -> None:
    assert short(value) == text
