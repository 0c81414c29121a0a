// Charts without axes of numbers: flows between stages (Sankey), and shares by row and column (heat map).
const WHOLE = new Intl.NumberFormat("en");
const LABEL_WIDTH = 150;
const LABEL_SHARE = 0.28; // of a narrow picture
const CELL_HEIGHT = 30;
// Of cells, in both themes: the texts have a contrast of 4.5:1 on them.
const LEAST_COLOUR = "#f3e8ff";
const MOST_COLOUR = "#7e22ce";
const DARK_TEXT = "#1e1b2e";
const DARK_SHARE = 70; // percent from which a cell is dark, with a light text

export const SANKEY = {
  height(spec) {
    const most = Math.max(...[0, 1].map((depth) => spec.nodes.filter((node) => node.depth === depth).length));
    return Math.max(220, most * 56);
  },
  link(spec, { dataType, dataIndex }) {
    return dataType === "edge" ? spec.links[dataIndex].url : "";
  },
  options(spec, theme, box, width) {
    const margin = Math.min(LABEL_WIDTH, width * LABEL_SHARE);
    const names = new Map(spec.nodes.map((node) => [node.key, node]));
    const shown = (key) => names.get(key).name;
    return {
      animation: false,
      aria: { enabled: false },
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      tooltip: {
        trigger: "item",
        confine: true,
        padding: 0,
        borderWidth: 0,
        formatter: ({ dataType, data }) =>
          dataType === "edge"
            ? box(`${shown(data.source)} → ${shown(data.target)}`, [`${WHOLE.format(data.value)} people`])
            : box(shown(data.name), [`${WHOLE.format(names.get(data.name).count)} people`]),
      },
      series: [
        {
          type: "sankey",
          left: margin,
          right: margin,
          top: 8,
          bottom: 8,
          nodeGap: 18,
          nodeWidth: 10,
          layoutIterations: 0, // keeps the order of the stages
          draggable: false,
          emphasis: { focus: "adjacency" },
          itemStyle: { color: theme.accent, borderWidth: 0 },
          lineStyle: { color: theme.accent, opacity: 0.35, curveness: 0.5 },
          label: {
            color: theme.strong,
            width: margin - 8,
            lineHeight: 14,
            overflow: "truncate",
            formatter: ({ name }) => `${shown(name)}\n${WHOLE.format(names.get(name).count)}`,
          },
          data: spec.nodes.map((node) => ({
            name: node.key,
            depth: node.depth,
            label: { position: node.depth === 0 ? "left" : "right" },
          })),
          links: spec.links.map((link) => ({
            source: link.source,
            target: link.target,
            value: link.count,
            cursor: link.url ? "pointer" : "default",
          })),
        },
      ],
    };
  },
};

export const HEAT_MAP = {
  height(spec) {
    return spec.rows.length * CELL_HEIGHT + 40;
  },
  link(spec, { value: [column, row] }) {
    return spec.links[row][column];
  },
  options(spec, theme, box) {
    const cells = spec.shares.flatMap((row, place) =>
      row.flatMap((share, column) => (share === null ? [] : [[column, place, share]])),
    );
    const percent = (share) => `${Math.round(share)} %`;
    const axis = { type: "category", axisTick: { show: false }, axisLabel: { color: theme.soft } };
    return {
      animation: false,
      aria: { enabled: false },
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: {
        left: 8,
        right: 8,
        top: 8,
        bottom: 8,
        outerBoundsMode: "same",
        outerBoundsContain: "axisLabel",
      },
      tooltip: {
        trigger: "item",
        confine: true,
        padding: 0,
        borderWidth: 0,
        formatter: ({ value: [column, row, share] }) =>
          box(spec.rows[row], [`${spec.columns[column]}: ${percent(share)}`]),
      },
      visualMap: {
        type: "continuous",
        show: false,
        min: 0,
        max: 100,
        inRange: { color: [LEAST_COLOUR, MOST_COLOUR] },
      },
      xAxis: { ...axis, data: spec.columns, position: "top", axisLine: { show: false } },
      yAxis: { ...axis, data: spec.rows, inverse: true, axisLine: { show: false } },
      series: [
        {
          type: "heatmap",
          data: cells.map(([column, row, share]) => ({
            value: [column, row, share],
            cursor: spec.links[row][column] ? "pointer" : "default",
            label: { color: share >= DARK_SHARE ? "#fff" : DARK_TEXT },
          })),
          label: { show: true, formatter: ({ value }) => percent(value[2]) },
          itemStyle: { borderColor: theme.line, borderWidth: 1 },
        },
      ],
    };
  },
};
