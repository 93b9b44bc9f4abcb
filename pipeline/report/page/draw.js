"use strict";
{
  const divs = [...document.querySelectorAll("[data-plot]")];
  const narrow = window.matchMedia("(max-width: 600px)").matches;
  for (const div of divs) {
    const { data, layout } = JSON.parse(document.getElementById(div.dataset.plot).textContent);
    if (narrow) {
      layout.font.size = 11;
      layout.margin.r = 16;
    }
    Plotly.newPlot(div, data, layout, { displayModeBar: false, responsive: true });
  }
  // Paper is narrower than the screen and cannot open what is folded; the plots' tables stay on the screen.
  const opened = [];
  window.addEventListener("beforeprint", () => {
    for (const div of divs) Plotly.relayout(div, { width: div.closest(".grid, .flow") ? 310 : 650 });
    for (const fold of document.querySelectorAll("details.person:not([open])")) {
      fold.open = true;
      opened.push(fold);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const div of divs) Plotly.relayout(div, { width: null, autosize: true });
    for (const fold of opened.splice(0)) fold.open = false;
  });
}
