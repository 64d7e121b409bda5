// The clinical sheet as SVG. Its unit is the millimetre of paper: 25 mm/s and 10 mm/mV unless chosen otherwise.

import { drawn } from "/page/elements.js";

const LIMB = ["I", "II", "III", "aVR", "aVL", "aVF"];
const CHEST = ["V1", "V2", "V3", "V4", "V5", "V6"];
export const LEADS = [...LIMB, ...CHEST];
const LAYOUTS = {
  "3x4+1": [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"], [null]],
  "6x2": LIMB.map((lead, row) => [lead, CHEST[row]]),
  "12x1": LEADS.map((lead) => [lead]),
  rhythm: [[null]],
};
const PITCH = { "3x4+1": 30, "6x2": 25, "12x1": 15, rhythm: 30 };
const SHEET_SECONDS = 10;
const MARGIN = 3;
const LEAD_IN = 15;
const LARGEST_EXCURSION = 50;
const LARGEST_OFFSET = 1000; // uV: an amplifier's offset, which would only push the trace off its row
const BAR = 5; // mm of the largest bar under a trace

const squares = (millimetres) => 5 * Math.ceil(millimetres / 5 - 1e-9);

function median(values) {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : 0;
}

/** A lead's stretch of a row: its path in mm from the row's start and baseline, and how far it reaches. */
function panel(ecg, lead, from, seconds, look) {
  const row = ecg.leads.indexOf(lead);
  const made = { lead, left: from * look.speed, width: seconds * look.speed, from, seconds, path: "", top: 8, bottom: 3, cut: false, missing: row < 0 };
  if (row < 0) return made;
  const first = Math.round(from * ecg.rate);
  const last = Math.min(ecg.signal[row].length - 1, Math.round((from + seconds) * ecg.rate));
  const offset = look.offsets[lead] ?? 0;
  let pen = "M";
  const parts = [];
  for (let at = first; at <= last; at++) {
    const value = ecg.signal[row][at];
    if (value === null) {
      pen = "M";
      continue;
    }
    let y = ((value - offset) / 1000) * look.gain;
    if (Math.abs(y) > LARGEST_EXCURSION) {
      y = Math.sign(y) * LARGEST_EXCURSION;
      made.cut = true;
    }
    made.top = Math.max(made.top, y);
    made.bottom = Math.max(made.bottom, -y);
    parts.push(`${pen}${(made.left + (at / ecg.rate - from) * look.speed).toFixed(2)} ${(-y).toFixed(2)}`);
    pen = "L";
  }
  made.path = parts.join("");
  return made;
}

function grid(width, height) {
  const lines = (step, name) => {
    let path = "";
    for (let x = 0; x <= width; x += step) path += `M${x} 0V${height}`;
    for (let y = 0; y <= height; y += step) path += `M0 ${y}H${width}`;
    return drawn("path", { class: name, d: path });
  };
  return drawn("g", { "aria-hidden": "true" }, lines(1, "fine"), lines(5, "bold"));
}

/** Bars under the trace: up and solid where the signal speaks for the finding, down and hollow where against. */
function relevanceBars(shown, relevance, speed, above) {
  const row = relevance.leads.indexOf(shown.lead);
  if (row < 0 || shown.missing) return null;
  const middle = shown.base + shown.bottom + above + 0.5;
  let speaks = "";
  let against = "";
  relevance.values[row].forEach((value, cell) => {
    const from = Math.max(relevance.start + cell * relevance.step, shown.from);
    const to = Math.min(relevance.start + (cell + 1) * relevance.step, shown.from + shown.seconds);
    if (to <= from || Math.abs(value) < 0.02) return;
    const x = shown.x + (from - shown.from) * speed;
    const width = (to - from) * speed;
    const height = Math.abs(value) * BAR;
    const bar = `M${x.toFixed(2)} ${middle.toFixed(2)}v${(value > 0 ? -height : height).toFixed(2)}h${width.toFixed(2)}v${(value > 0 ? height : -height).toFixed(2)}z`;
    if (value > 0) speaks += bar;
    else against += bar;
  });
  return drawn(
    "g",
    { class: "relevance", "data-lead": shown.lead },
    drawn("path", { class: "axis", d: `M${shown.x} ${middle}h${shown.width}` }),
    drawn("path", { class: "speaks", d: speaks }),
    drawn("path", { class: "against", d: against }),
  );
}

/**
 * Draw an excerpt (`signal` in whole uV, null where missing) and return `{ svg, width, height, notes, look }`.
 * `relevance` has `leads`, `start` and `step` in seconds of the excerpt, and `values` in [-1, 1].
 */
export function drawSheet(ecg, { layout, rhythm, speed, gain, relevance = null, description = "" }) {
  const notes = [];
  const offsets = {};
  ecg.leads.forEach((lead, row) => {
    const middle = median(ecg.signal[row]);
    if (Math.abs(middle) > LARGEST_OFFSET) offsets[lead] = middle;
  });
  const told = Object.entries(offsets).map(([lead, value]) => `${lead} ${(value / 1000).toFixed(2)} mV`);
  if (told.length) notes.push(`Constant offset taken off to keep the trace on its row: ${told.join(", ")}.`);

  const look = { speed, gain, offsets };
  const length = Math.min(SHEET_SECONDS, ecg.signal[0].length / ecg.rate);
  const rows = LAYOUTS[layout].map((names) => {
    const share = length / names.length;
    return names.map((name, column) => panel(ecg, name ?? rhythm, column * share, share, look));
  });
  const cut = [...new Set(rows.flat().filter((each) => each.cut).map((each) => each.lead))];
  if (cut.length) notes.push(`Cut off at ${LARGEST_EXCURSION / gain} mV: ${cut.join(", ")}.`);

  // Room for the bars of this explanation: over their axis, and under it.
  const values = relevance ? relevance.values.flat() : [];
  const above = BAR * values.reduce((most, value) => Math.max(most, value), 0);
  const lane = relevance ? above - BAR * values.reduce((least, value) => Math.min(least, value), 0) + 1 : 0;
  const paper = LEAD_IN + squares(SHEET_SECONDS * speed);
  let base = squares(Math.max(...rows[0].map((each) => each.top), gain) + 2);
  rows.forEach((row, number) => {
    if (number) {
      const above = rows[number - 1];
      const needed = row.map((each, column) => {
        const over = above.length === row.length ? [above[column]] : above;
        return each.top + Math.max(...over.map((other) => other.bottom)) + 1 + lane;
      });
      base += Math.max(PITCH[layout] + lane, squares(Math.max(...needed)));
    }
    for (const each of row) {
      each.base = base;
      each.x = LEAD_IN + each.left;
    }
  });
  const height = base + squares(Math.max(...rows.at(-1).map((each) => each.bottom)) + lane + 3);

  const svg = drawn("svg", {
    viewBox: `${-MARGIN} ${-MARGIN} ${paper + 2 * MARGIN} ${height + 2 * MARGIN}`,
    role: "img",
    "aria-label": description,
    class: "ecg",
  });
  svg.append(grid(paper, height));
  for (const row of rows) {
    const y = row[0].base;
    svg.append(drawn("path", { class: "trace calibration", d: `M2.5 ${y}H5v${-gain}h${0.2 * speed}v${gain}h2.5` }));
    row.forEach((each, column) => {
      if (column) svg.append(drawn("path", { class: "separator", d: `M${each.x} ${y - 6}v3m0 6v3` }));
      if (relevance) {
        const bars = relevanceBars(each, relevance, speed, above);
        if (bars) svg.append(bars);
      }
      svg.append(drawn("path", { class: "trace", "data-lead": each.lead, transform: `translate(${LEAD_IN} ${each.base})`, d: each.path }));
      const name = drawn("text", { class: each.missing ? "lead missing" : "lead", x: each.x + 1.2, y: y - 8 });
      name.textContent = each.missing ? `${each.lead} not recorded` : each.lead;
      svg.append(name);
    });
  }
  return { svg, width: paper + 2 * MARGIN, height: height + 2 * MARGIN, notes, look };
}
