// Draws the charts of a page with ECharts, in the colours of the theme. `core/admin/charts.py` says what they show.
import { init } from "../vendor/echarts.js";
import { HEAT_MAP, SANKEY } from "./pictures.js";

const WHOLE = new Intl.NumberFormat("en");
const ROW_HEIGHT = 40; // of a horizontal bar, in pixels
const AXIS_HEIGHT = 40;

const PICTURES = { sankey: SANKEY, heatmap: HEAT_MAP };

const drawn = new Map(); // the element of each chart: its chart

function people(value) {
  return WHOLE.format(Math.abs(value));
}

function colours() {
  const theme = getComputedStyle(document.documentElement);
  const named = (name) => theme.getPropertyValue(name).trim();
  return {
    line: named("--line"),
    strong: named("--strong"),
    soft: named("--soft"),
    accent: named("--color-primary-500"),
  };
}

function valueAxis(spec, { line, soft }) {
  return {
    type: "value",
    minInterval: 1,
    axisLabel: {
      color: soft,
      formatter: (value) => (value > 0 && value < spec.cut ? "" : people(value)),
      hideOverlap: true,
    },
    splitLine: { lineStyle: { color: line } },
    breaks: spec.cut ? [{ start: spec.cut / 1000, end: spec.cut, gap: "6%" }] : [],
    breakArea: { expandOnClick: false, itemStyle: { color: "transparent", borderColor: soft, opacity: 1 } },
  };
}

function categoryAxis(spec, { soft, line }, isVertical) {
  return {
    type: "category",
    data: spec.categories,
    inverse: isVertical,
    boundaryGap: spec.kind !== "line",
    axisLabel: {
      color: soft,
      hideOverlap: true,
      margin: 14,
      ...(isVertical && { width: 110, overflow: "break", lineHeight: 14 }),
    },
    axisLine: { onZero: false, lineStyle: { color: line } },
    axisTick: { show: false },
  };
}

function lineSeries(series, { accent }) {
  return {
    type: "line",
    name: series.name,
    data: series.values,
    lineStyle: { color: series.colour || accent, width: 2, type: series.line },
    itemStyle: { color: series.colour || accent },
    showSymbol: series.values.length < 15,
    symbol: "circle",
    symbolSize: 6,
  };
}

function barSeries(series, spec, { strong }, isFirst, isVertical) {
  const isInAndOut = spec.series.some(({ values }) => values.some((value) => value < 0));
  return {
    type: "bar",
    name: series.name,
    stack: spec.stacked ? "all" : undefined,
    barMaxWidth: 28,
    itemStyle: { color: series.colour, decal: { color: "rgb(255 255 255 / 65%)", ...series.decal } },
    data: series.values.map((value, place) => ({
      value,
      cursor: series.links[place] ? "pointer" : "default",
    })),
    emphasis: { disabled: true },
    // The line between those who entered and those who left.
    ...(isFirst &&
      isInAndOut && {
        markLine: {
          silent: true,
          symbol: "none",
          label: { show: false },
          lineStyle: { color: strong, type: "solid", width: 1 },
          data: [isVertical ? { xAxis: 0 } : { yAxis: 0 }],
        },
      }),
  };
}

function tooltipBox(title, lines) {
  const box = document.createElement("div");
  box.className = "chart-tooltip";
  const head = document.createElement("strong");
  head.textContent = title;
  box.append(head);
  for (const line of lines) {
    const row = document.createElement("span");
    row.textContent = line;
    box.append(row);
  }
  return box;
}

function tooltip(shown) {
  const there = shown.filter(({ value }) => value !== null && value !== undefined);
  const counted = there.filter(({ value }) => value || there.length === 1);
  return tooltipBox(
    shown[0].name,
    counted.map(({ seriesName, value }) => `${seriesName}: ${people(value)}`),
  );
}

function options(spec, element) {
  const theme = colours();
  if (PICTURES[spec.kind]) {
    return PICTURES[spec.kind].options(spec, theme, tooltipBox, element.clientWidth);
  }
  const isVertical = spec.kind === "bars";
  const axes = [categoryAxis(spec, theme, isVertical), valueAxis(spec, theme)];
  return {
    animation: false,
    aria: { enabled: false }, // the element has a label of its own
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily }, // texts are measured, too
    grid: {
      left: 8,
      right: 16,
      top: 12,
      bottom: 8,
      outerBoundsMode: "same",
      outerBoundsContain: "axisLabel",
    },
    tooltip: {
      trigger: "axis",
      axisPointer: { type: spec.kind === "line" ? "line" : "shadow" },
      confine: true,
      padding: 0,
      borderWidth: 0,
      formatter: tooltip,
    },
    xAxis: axes[isVertical ? 1 : 0],
    yAxis: axes[isVertical ? 0 : 1],
    series: spec.series.map((series, place) =>
      spec.kind === "line"
        ? lineSeries(series, theme)
        : barSeries(series, spec, theme, place === 0, isVertical),
    ),
  };
}

function draw(element) {
  const spec = JSON.parse(element.dataset.chart);
  if (spec.kind === "bars") {
    element.style.height = `${spec.categories.length * ROW_HEIGHT + AXIS_HEIGHT}px`;
  }
  const picture = PICTURES[spec.kind];
  if (picture) {
    element.style.height = `${picture.height(spec)}px`;
  }
  const chart = init(element, null, { renderer: "svg" });
  chart.setOption(options(spec, element));
  chart.on("click", (event) => {
    const link = picture ? picture.link(spec, event) : spec.series[event.seriesIndex].links[event.dataIndex];
    if (link) {
      location.assign(link);
    }
  });
  drawn.set(element, chart);
  new ResizeObserver(() => {
    chart.resize();
    if (picture) {
      chart.setOption(options(spec, element)); // the room for the labels follows the width
    }
  }).observe(element);
}

function drawAll() {
  for (const element of document.querySelectorAll("[data-chart]")) {
    if (!drawn.has(element)) {
      draw(element);
    }
  }
}

new MutationObserver(() => {
  for (const [element, chart] of drawn) {
    chart.setOption(options(JSON.parse(element.dataset.chart), element));
  }
}).observe(document.documentElement, { attributeFilter: ["class"] });
document.addEventListener("htmx:load", drawAll); // panels that are loaded later
drawAll();
