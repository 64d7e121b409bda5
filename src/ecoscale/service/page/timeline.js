// A long recording: a lane for each finding with its probability over time, and its episodes.

import { clock, drawn, element, sentence } from "/page/elements.js";

const WIDTH = 1000;
const LANE = 34;
const SHOWN = 30; // episodes, the longest

/** Lanes with episodes marked; `jump(seconds)` is called by a click. */
export function timelineLanes(timeline, titles, jump) {
  const { duration, names, windows } = timeline;
  const x = (seconds) => (seconds / duration) * WIDTH;
  const svg = drawn("svg", {
    class: "lanes",
    viewBox: `0 0 ${WIDTH} ${names.length * LANE}`,
    height: names.length * LANE,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `Probability of ${names.length} findings over ${clock(duration)}; the episodes are listed below`,
  });
  names.forEach((name, lane) => {
    const floor = (lane + 1) * LANE - 4;
    const height = LANE - 10;
    let path = "";
    // At most two points a pixel: of the windows between them, the most probable.
    const each = Math.max(1, Math.floor(windows.length / (2 * WIDTH)));
    for (let first = 0; first < windows.length; first += each) {
      const group = windows.slice(first, first + each).filter((window) => window.probabilities);
      if (!group.length) continue;
      const highest = Math.max(...group.map((window) => window.probabilities[name]));
      path += `M${x(group[0].start).toFixed(1)} ${floor}V${(floor - highest * height).toFixed(1)}H${x(group.at(-1).stop).toFixed(1)}V${floor}z`;
    }
    svg.append(drawn("path", { class: "axis", d: `M0 ${floor}H${WIDTH}` }), drawn("path", { class: "probability", d: path }));
    for (const episode of timeline.episodes.filter((one) => one.finding === name)) {
      svg.append(drawn("rect", { class: "episode", x: x(episode.start), y: floor, width: Math.max(2, x(episode.stop - episode.start)), height: 3.5 }));
    }
  });
  const here = drawn("path", { class: "here", d: `M0 0V${names.length * LANE}` });
  svg.append(here);
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    jump(((event.clientX - box.left) / box.width) * duration);
  });
  const list = element("ul", { class: "lane-names", "aria-hidden": "true" }, ...names.map((name) => element("li", {}, sentence(titles[name] ?? name))));
  return {
    node: element("div", { class: "lanes-frame" }, list, svg),
    mark: (seconds) => here.setAttribute("d", `M${x(seconds).toFixed(1)} 0V${names.length * LANE}`),
  };
}

/** The longest episodes as a table whose first column jumps there. */
export function episodesTable(timeline, titles, jump) {
  const { episodes } = timeline;
  if (!episodes.length) return [element("p", {}, "Nothing is present for long enough to count as an episode.")];
  const longest = [...episodes].sort((a, b) => b.stop - b.start - (a.stop - a.start)).slice(0, SHOWN).sort((a, b) => a.start - b.start);
  const rows = longest.map((episode) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, element("button", { type: "button", class: "title", onclick: () => jump(episode.start) }, sentence(titles[episode.finding] ?? episode.finding))),
      element("td", {}, episode.clock ?? clock(episode.start)),
      element("td", { class: "number" }, clock(episode.stop - episode.start)),
      element("td", { class: "number" }, episode.highest.toFixed(2)),
    ),
  );
  const parts = [
    element(
      "table",
      { class: "episodes" },
      element("caption", {}, episodes.length > longest.length ? `The longest ${longest.length} of ${episodes.length} episodes` : `${episodes.length} episode${episodes.length === 1 ? "" : "s"}`),
      element("thead", {}, element("tr", {}, ...["Finding", "From", "Length", "Highest"].map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows),
    ),
  ];
  return parts;
}
