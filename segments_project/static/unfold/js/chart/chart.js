// Stands in for the Chart.js that the framework loads on every page. core/charts/charts.js draws our charts.
