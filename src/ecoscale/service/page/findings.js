// What the network says: a table of findings, each with its probability, its threshold and how far to trust it.

import { drawn, element, percent, sentence } from "/page/elements.js";

const FIRST = 10; // of a bundle that knows many findings, those that are present and the most probable

/** What a finding is called elsewhere, and how far to trust it. */
function about(name, label) {
  const code = label?.snomed ? `${name}, SNOMED ${label.snomed}` : name;
  return `${code}; ${label?.reliability ?? "reliability not measured"}`;
}

function bar(finding) {
  const at = (share) => (100 * share).toFixed(1);
  return drawn(
    "svg",
    { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("rect", { class: "back", y: 1.5, width: 100, height: 5 }),
    drawn("rect", { class: "filled", y: 1.5, width: at(finding.probability), height: 5 }),
    ...(finding.threshold === null ? [] : [drawn("rect", { class: "threshold", x: Math.max(0, at(finding.threshold) - 0.5), width: 1, height: 8 })]),
  );
}

/** What a row says of itself: of classes that exclude each other there is no threshold, and one is the most probable. */
function result(finding) {
  if (finding.threshold === null) return finding.present ? "most probable" : "less probable";
  return finding.present ? "present" : "absent";
}

/** The table for `findings` (name to probability, threshold, present); `explain(name)` is called by a click. */
export function findingsTable(findings, bundle, explain) {
  const labels = Object.fromEntries(bundle.labels.map((label) => [label.name, label]));
  const names = Object.keys(findings);
  const few = names.length <= FIRST + 2;
  const order = few ? names : [...names].sort((a, b) => findings[b].present - findings[a].present || findings[b].probability - findings[a].probability);
  const shown = few ? order.length : Math.max(FIRST, order.filter((name) => findings[name].present).length);
  const rows = order.map((name, number) => {
    const finding = findings[name];
    const title = sentence(labels[name]?.title ?? name);
    return element(
      "tbody",
      { class: finding.present ? "present" : null, "data-finding": name, hidden: number >= shown },
      element(
        "tr",
        {},
        element(
          "th",
          { scope: "row" },
          element("button", { type: "button", class: "title", "aria-pressed": "false", title: "Show what speaks for it", onclick: () => explain(name) }, title),
        ),
        element(
          "td",
          { class: "probability" },
          element("span", { class: "share" }, percent(finding.probability)),
          bar(finding),
          element("span", { class: "small" }, finding.threshold === null ? "" : `threshold ${percent(finding.threshold)}`),
        ),
        element("td", { class: "result" }, element("span", { class: "mark", "aria-hidden": "true" }, finding.present ? "● " : "○ "), result(finding)),
      ),
      element("tr", { class: "about" }, element("td", { colspan: 3, class: "small" }, about(name, labels[name]))),
    );
  });
  const table = element(
    "table",
    { class: "findings" },
    element("caption", { class: "unseen" }, "Findings with probability, threshold and reliability"),
    element("thead", {}, element("tr", {}, ...["Finding", "Probability", "Result"].map((text) => element("th", { scope: "col" }, text)))),
    ...rows,
  );
  const parts = [table];
  if (shown < rows.length) {
    const more = element("button", { type: "button" }, `Show all ${rows.length} findings`);
    more.addEventListener("click", () => {
      rows.forEach((row) => (row.hidden = false));
      more.remove();
    });
    parts.push(more);
  }
  return parts;
}

/** Mark the finding that is explained; none for null. */
export function markExplained(table, name) {
  for (const row of table.querySelectorAll("[data-finding]")) {
    row.querySelector("button.title").setAttribute("aria-pressed", String(row.dataset.finding === name));
  }
}

/** What is present, in one sentence. */
export function verdict(findings, bundle) {
  const titles = Object.fromEntries(bundle.labels.map((label) => [label.name, label.title]));
  const present = Object.keys(findings).filter((name) => findings[name].present);
  if (bundle.single_label && present.length === 1) {
    const [name] = present;
    return { found: true, text: `${sentence(titles[name] ?? name)}, ${percent(findings[name].probability)}` };
  }
  if (present.length) return { found: true, text: sentence(present.map((name) => titles[name] ?? name).join(", ")) };
  return { found: false, text: `None of the ${Object.keys(findings).length} findings reaches its threshold` };
}

/** The leads that speak most for a finding, in one sentence. */
export function spokenFor(explanation) {
  const shares = explanation.leads.map((lead, row) => [lead, explanation.values[row].reduce((sum, value) => sum + Math.max(value, 0), 0)]);
  const total = shares.reduce((sum, [, share]) => sum + share, 0);
  if (!total) return "No part of the signal speaks for it.";
  const most = shares.sort((a, b) => b[1] - a[1]).slice(0, 3).map(([lead, share]) => `${lead} (${Math.round((100 * share) / total)} %)`);
  return `What speaks for it lies mostly in ${most.join(", ")}.`;
}
