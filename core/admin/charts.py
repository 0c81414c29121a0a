"""Charts for staff: what they show, which ``core/static/core/charts/charts.js`` draws with ECharts.

A chart is part of a page that shows the same as a table, for the keyboard and for screen readers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from math import floor, log10
from typing import Any, Literal


@dataclass(frozen=True)
class Pattern:
    """What tells bars apart without their colours: as a decal of ECharts, and as a path of 12 × 12 in the legend."""

    decal: dict[str, Any] = field(default_factory=lambda: {"symbol": "none"})
    path: str = ""


def _stripes(rotation: float, path: str) -> Pattern:
    return Pattern({"symbol": "rect", "dashArrayX": [1, 0], "dashArrayY": [2, 4], "rotation": rotation}, path)


PATTERNS = (
    Pattern(),
    _stripes(0.7854, "M-3 9 3 15M-3 3 9 15M-3-3 15 15M3-3 15 9M9-3 15 3"),
    Pattern(
        {"symbol": "circle", "symbolSize": 0.8, "dashArrayX": [[6, 6], [0, 6, 6, 0]], "dashArrayY": [6, 0]},
        "M2 3h2M8 3h2M2 9h2M8 9h2",
    ),
    _stripes(0, "M0 2h12M0 6h12M0 10h12"),
    _stripes(-0.7854, "M-3 3 3-3M-3 9 9-3M-3 15 15-3M3 15 15 3M9 15 15 9"),
    _stripes(1.5708, "M2 0v12M6 0v12M10 0v12"),
    Pattern(
        {"symbol": "rect", "symbolSize": 0.6, "dashArrayX": [8, 2], "dashArrayY": [8, 2]},
        "M2 2h3v3h-3zM8 8h2v2h-2z",
    ),
)


Line = Literal["solid", "dashed", "dotted"]
DASHES: Mapping[Line, str] = {"solid": "none", "dashed": "6 3", "dotted": "1.5 2.5"}
"""As SVG writes them, for the legend."""


@dataclass(frozen=True)
class Style:
    """How the bars or the line of a series look. Two series of a chart differ in the colour and in the rest.

    Without a colour, a line has that of the theme.
    """

    colour: str = ""
    pattern: int = 0
    line: Line = "solid"

    @property
    def dashes(self) -> str:
        """Return the dashes of the line for the legend."""
        return DASHES[self.line]

    @property
    def path(self) -> str:
        """Return the pattern for the legend."""
        return PATTERNS[self.pattern].path


@dataclass(frozen=True)
class Series:
    """The values of one kind, one for each category. ``links`` lead to the people behind each; "" leads nowhere.

    A line is interrupted where the value is None.
    """

    name: str
    values: Sequence[int | None]
    style: Style | None = None
    links: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """A chart for ``core/admin/chart.html``; ``label`` describes it for screen readers.

    Values are whole people or things. Values below zero are those who left, and are shown without a sign.
    """

    kind: Literal["line", "columns", "bars"]
    label: str
    categories: Sequence[str]
    series: Sequence[Series]
    legend: Sequence[tuple[str, Style]] = ()
    hint: str = ""
    is_stacked: bool = False

    @property
    def cut(self) -> int:
        """Return below which value the axis of a line is cut; 0 if it starts at zero."""
        values = [value for series in self.series for value in series.values if value is not None]
        if self.kind != "line" or not values:
            return 0
        low, high = min(values), max(values)
        span = high - low
        if 3 * span > high or not span:
            return 0
        step = 10 ** floor(log10(span))
        return max(0, (low - span // 4) // step * step)

    @property
    def is_clickable(self) -> bool:
        return any(link for series in self.series for link in series.links)

    @property
    def spec(self) -> str:
        """Return what the script draws, as JSON."""
        return json.dumps(
            {
                "kind": self.kind,
                "categories": list(self.categories),
                "stacked": self.is_stacked,
                "cut": self.cut,
                "series": [
                    {
                        "name": series.name,
                        "values": list(series.values),
                        "colour": series.style.colour if series.style else "",
                        "decal": PATTERNS[series.style.pattern].decal if series.style else None,
                        "line": series.style.line if series.style else "solid",
                        "links": list(series.links),
                    }
                    for series in self.series
                ],
            }
        )


@dataclass(frozen=True)
class SankeyNode:
    """One end of links: ``count`` people, in the column ``depth`` from the left. ``key`` is unique in the chart."""

    key: str
    name: str
    count: int
    depth: int


@dataclass(frozen=True)
class SankeyLink:
    """People who went from one node to another. ``url`` leads to them; "" leads nowhere."""

    source: str
    target: str
    count: int
    url: str = ""


@dataclass(frozen=True)
class SankeyChart:
    """A flow for ``core/admin/chart.html``: bands between nodes, as wide as the people are many."""

    label: str
    nodes: Sequence[SankeyNode]
    links: Sequence[SankeyLink]
    legend: Sequence[tuple[str, Style]] = ()
    cut: int = 0
    is_clickable: bool = False

    @property
    def hint(self) -> str:
        is_clickable = any(link.url for link in self.links)
        return "Press a band to see who." if is_clickable else ""

    @property
    def spec(self) -> str:
        """Return what the script draws, as JSON."""
        return json.dumps({"kind": "sankey", **asdict(self)})


@dataclass(frozen=True)
class HeatMap:
    """Shares of rows by column, for ``core/admin/chart.html``. A cell is its share in percent, None if there is none.

    ``links`` lead to the people of each cell.
    """

    label: str
    rows: Sequence[str]
    columns: Sequence[str]
    shares: Sequence[Sequence[float | None]]
    links: Sequence[Sequence[str]]
    legend: Sequence[tuple[str, Style]] = ()
    cut: int = 0
    is_clickable: bool = False

    @property
    def hint(self) -> str:
        is_clickable = any(link for row in self.links for link in row)
        return "Press a cell to see who." if is_clickable else ""

    @property
    def spec(self) -> str:
        """Return what the script draws, as JSON."""
        return json.dumps({"kind": "heatmap", **asdict(self)})


def short_date(day: date) -> str:
    """Return a day as “3 Nov”."""
    return f"{day.day} {day:%b}"
