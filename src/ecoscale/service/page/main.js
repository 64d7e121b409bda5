// The page: from a file that is dropped to its sheet, findings, explanation and report.

import { $, clock, element, percent, sentence } from "/page/elements.js";
import { findingsTable, markExplained, spokenFor, verdict } from "/page/findings.js";
import { Recording, ServiceError, bundle, bundles, example, examples, onKeyWanted } from "/page/service.js";
import { LEADS, drawSheet } from "/page/sheet.js";
import { episodesTable, timelineLanes } from "/page/timeline.js";
import { Viewer } from "/page/viewer.js";

const SHEET_SECONDS = 10;
const LONG_SECONDS = 60; // longer recordings are shown piece by piece, with a timeline

const state = {
  bundle: null, // what the chosen bundle says of itself
  recordings: [], // { recording, prediction?, error? }
  whole: null, // the recording that is open
  excerpt: null, // what findings, explanation and report are of: the whole, or ten seconds of a long one
  ecg: null, // the signal that is drawn
  prediction: null,
  relevance: null,
  timeline: null,
  turn: 0, // of what was asked last: answers to what was asked before are dropped
};

const viewer = new Viewer($("sheet"), (text) => ($("measured").textContent = text));

function say(text) {
  $("status").textContent = text;
  document.body.classList.toggle("busy", Boolean(text));
}

function trouble(error) {
  if (error?.name === "AbortError") return;
  if (!(error instanceof ServiceError)) console.error(error);
  $("trouble").replaceChildren(element("p", { class: "trouble" }, element("strong", {}, "This did not work. "), error.message ?? String(error)));
  if (error instanceof ServiceError && [400, 415, 422].includes(error.status) && state.recordings.length) $("options").open = true;
}

const calm = () => $("trouble").replaceChildren();

// --- opening

/** Files as recordings: a WFDB header takes the signal files of its name with it. */
function asRecordings(files) {
  const stem = (file) => file.name.replace(/\.[^.]*$/, "");
  const stated = statedOptions();
  const headers = files.filter((file) => file.name.endsWith(".hea"));
  const grouped = headers.map((header) => files.filter((file) => stem(file) === stem(header)));
  const alone = files.filter((file) => !grouped.some((group) => group.includes(file))).map((file) => [file]);
  // A header whose signal file has another name: what was dropped together belongs together.
  const groups = headers.length === 1 && grouped[0].length === 1 && alone.length ? [files] : [...grouped, ...alone];
  return groups.map((group) => new Recording((group.find((file) => file.name.endsWith(".hea")) ?? group[0]).name, { files: group, stated }));
}

function statedOptions() {
  return Object.fromEntries(["rate", "unit", "leads", "record"].map((name) => [name, $(name).value.trim()]));
}

function open(recordings) {
  if (!recordings.length) return;
  state.recordings = recordings.map((recording) => ({ recording }));
  $("recordings").hidden = recordings.length < 2;
  listRecordings();
  show(state.recordings[0]);
  if (recordings.length > 1) classifyAll();
}

function listRecordings() {
  const rows = state.recordings.map((entry) => {
    const said = entry.error ?? (entry.prediction ? verdict(entry.prediction.findings, state.bundle).text : "…");
    return element(
      "li",
      { class: entry.error ? "failed" : null },
      element("button", { type: "button", "aria-current": entry.recording === state.whole ? "true" : null, onclick: () => show(entry) }, entry.recording.name),
      element("span", { class: "small" }, said),
    );
  });
  $("recordings").replaceChildren(element("h2", {}, `${rows.length} recordings`), element("ul", {}, ...rows));
}

async function classifyAll() {
  const all = state.recordings;
  for (const entry of all) {
    if (state.recordings !== all) return;
    if (entry.prediction || entry.error || entry.recording === state.whole) continue;
    try {
      entry.prediction = await entry.recording.predict(state.bundle.name);
    } catch (error) {
      entry.error = error.message;
    }
    listRecordings();
  }
}

/** Read, classify and draw one recording. */
async function show(entry) {
  const turn = ++state.turn;
  const current = () => turn === state.turn;
  state.whole = state.excerpt = entry.recording;
  Object.assign(state, { ecg: null, prediction: null, relevance: null, timeline: null });
  calm();
  say(`Reading ${entry.recording.name} …`);
  $("reading").hidden = true;
  try {
    const ecg = await entry.recording.ecg(0, SHEET_SECONDS);
    if (!current()) return;
    state.ecg = ecg;
    const long = ecg.duration > LONG_SECONDS;
    $("name").textContent = `${entry.recording.name}${ecg.record && !entry.recording.name.includes(ecg.record) ? `, ${ecg.record}` : ""}`;
    $("reading").hidden = false;
    $("another").hidden = false;
    $("choose").classList.add("small-choice");
    $("moments").hidden = ecg.duration <= SHEET_SECONDS;
    $("moment").max = Math.max(0, Math.ceil(ecg.duration - SHEET_SECONDS));
    $("moment").value = 0;
    $("timeline").hidden = !long;
    $("verdict").textContent = "";
    clearReading();
    draw();
    if (long) {
      await classifyExcerpt(turn);
      if (!current()) return;
      say(`Classifying ${clock(ecg.duration)} of signal …`);
      state.timeline = await entry.recording.timeline(state.bundle.name);
      if (!current()) return;
      showTimeline();
    } else {
      say("Classifying …");
      const prediction = await entry.recording.predict(state.bundle.name);
      if (!current()) return;
      entry.prediction = prediction;
      showPrediction(prediction);
    }
    if (!$("recordings").hidden) listRecordings();
    say("");
    $("name").focus({ preventScroll: true });
  } catch (error) {
    if (!current()) return;
    say("");
    entry.error = error.message;
    if (!$("recordings").hidden) listRecordings();
    trouble(error);
  }
}

function clearReading() {
  for (const id of ["findings", "explained", "lanes", "episodes"]) $(id).replaceChildren();
  $("warnings").hidden = $("measurements").hidden = true;
}

// --- what is shown

function draw() {
  const { ecg, relevance } = state;
  const rhythm = $("rhythm").value || "II";
  const shown = Math.min(SHEET_SECONDS, ecg.seconds);
  const name = state.whole.name;
  const sheet = drawSheet(ecg, {
    layout: $("layout").value,
    rhythm: ecg.leads.includes(rhythm) ? rhythm : ecg.leads[0],
    speed: Number($("speed").value),
    gain: Number($("gain").value),
    relevance,
    description: `ECG ${name}: ${ecg.leads.length} leads (${ecg.leads.join(", ")}), ${shown.toFixed(1)} of ${ecg.duration.toFixed(1)} seconds from ${clock(ecg.start)}`,
  });
  $("sheet").setAttribute("aria-label", `ECG of ${name}, scrollable`);
  viewer.show(sheet);
  const facts = [`${$("speed").value} mm/s`, `${$("gain").value} mm/mV`, `${ecg.rate} Hz`, `${clock(ecg.start)} to ${clock(ecg.start + shown)} of ${clock(ecg.duration)}`];
  $("sheet-notes").textContent = [facts.join(" · "), ...sheet.notes].join(" ");
  $("moment-text").textContent = `${ecg.clock ? `${ecg.clock}, ` : ""}${clock(ecg.start)} of ${clock(ecg.duration)}`;
}

function showPrediction(prediction) {
  state.prediction = prediction;
  const { found, text } = verdict(prediction.findings, state.bundle);
  $("verdict").replaceChildren(element("span", { class: "mark", "aria-hidden": "true" }, found ? "● " : "○ "), text);
  $("verdict").classList.toggle("found", found);
  $("findings").replaceChildren(...findingsTable(prediction.findings, state.bundle, explain));
  $("explained").replaceChildren(element("p", { class: "small" }, "Choose a finding to see which leads and seconds speak for it."));
  const warnings = prediction.warnings_in_words ?? prediction.warnings.map((text) => ({ title: "", explanation: text }));
  $("warnings").hidden = !warnings.length;
  $("warnings").querySelector("ul").replaceChildren(
    ...warnings.map(({ title, explanation }) => element("li", {}, title ? element("strong", {}, `${title}: `) : null, explanation)),
  );
  showMeasurements(prediction);
  $("about-bundle").textContent = `Classified by ${prediction.bundle}.`;
}

function showMeasurements({ measurements, disagreements = [] }) {
  $("measurements").hidden = !measurements;
  if (!measurements) return;
  const rows = [["heart_rate", "Heart rate", "per minute"], ["pr", "PR", "ms"], ["qrs", "QRS", "ms"], ["qt", "QT", "ms"], ["qtc", "QTc", "ms"], ["axis", "Axis", "°"]];
  $("measurements").querySelector("dl").replaceChildren(
    ...rows.map(([name, title, unit]) => {
      const value = measurements[name];
      return element("div", {}, element("dt", {}, title), element("dd", {}, value === null || value === undefined ? "not measured" : `${Math.round(value)} ${unit}`));
    }),
  );
  const notes = [...disagreements.map((text) => ["disagrees", text]), ...(measurements.notes ?? []).map((text) => [null, text])];
  $("measurements").querySelector("ul").replaceChildren(...notes.map(([name, text]) => element("li", { class: name }, sentence(text))));
}

/** A click on a finding explains it, and a second one puts the explanation away. */
function explain(name) {
  if (state.relevance?.finding === name) putExplanationAway();
  else explainBy("occlusion", name);
}

// What is there is taken out; what is missing is put in: a P wave that AF lacks cannot be taken out.
const METHODS = {
  occlusion: { ask: "What if a part were not there?", says: "each part was taken out of the signal in turn" },
  insertion: { ask: "What if P waves were there?", says: "a P wave was put in at each moment in turn" },
};

async function explainBy(method, name) {
  const turn = state.turn;
  const { excerpt } = state;
  calm();
  say(`Working out what speaks for ${name} …`);
  try {
    const explanation = await excerpt.explain(state.bundle.name, name, method);
    if (turn !== state.turn || excerpt !== state.excerpt) return;
    state.relevance = explanation;
    markExplained($("findings"), name);
    const title = state.bundle.labels.find((label) => label.name === name)?.title ?? name;
    $("explained").replaceChildren(
      element("p", {}, element("strong", {}, `${sentence(title)}: `), spokenFor(explanation)),
      element(
        "p",
        { class: "small legend" },
        element("span", { class: "key speaks", "aria-hidden": "true" }),
        "bars up, filled: speaks for it; ",
        element("span", { class: "key against", "aria-hidden": "true" }),
        `bars down, hollow: against. For this, ${METHODS[method].says}. It shows what moves the network, not why the heart does so.`,
      ),
      element(
        "p",
        { class: "buttons" },
        ...Object.entries(METHODS)
          .filter(([other]) => other !== method)
          .map(([other, { ask }]) => element("button", { type: "button", onclick: () => explainBy(other, name) }, ask)),
        element("button", { type: "button", onclick: putExplanationAway }, "Put the explanation away"),
      ),
    );
    draw();
    say("");
  } catch (error) {
    say("");
    trouble(error);
  }
}

function putExplanationAway() {
  state.relevance = null;
  markExplained($("findings"), null);
  $("explained").replaceChildren(element("p", { class: "small" }, "Choose a finding to see which leads and seconds speak for it."));
  draw();
}

// --- long recordings

let marker = null;

function showTimeline() {
  const titles = Object.fromEntries(state.bundle.labels.map((label) => [label.name, label.title]));
  const { timeline } = state;
  const some = new Set(timeline.episodes.map((episode) => episode.finding));
  const shown = { ...timeline, names: timeline.names.length <= 12 ? timeline.names : timeline.names.filter((name) => some.has(name)) };
  const lanes = timelineLanes(shown, titles, jump);
  marker = lanes.mark;
  marker(state.ecg.start);
  $("lanes").replaceChildren(lanes.node);
  $("episodes").replaceChildren(...episodesTable(timeline, titles, jump));
}

let waiting = null;

/** Show ten seconds from a moment of the recording, and classify them where it is a long one. */
function jump(seconds) {
  const start = Math.max(0, Math.min(Math.floor(seconds), Number($("moment").max)));
  $("moment").value = start;
  $("moment-text").textContent = `${clock(start)} of ${clock(state.ecg.duration)}`;
  clearTimeout(waiting);
  waiting = setTimeout(() => goTo(start), 150);
}

async function goTo(start) {
  const turn = ++state.turn;
  calm();
  say(`Reading ${clock(start)} …`);
  try {
    const ecg = await state.whole.ecg(start, SHEET_SECONDS);
    if (turn !== state.turn) return;
    state.ecg = ecg;
    if (ecg.duration > LONG_SECONDS) {
      state.relevance = null;
      draw();
      marker?.(start);
      await classifyExcerpt(turn);
    } else {
      draw();
    }
    if (turn === state.turn) say("");
  } catch (error) {
    if (turn !== state.turn) return;
    say("");
    trouble(error);
  }
}

async function classifyExcerpt(turn) {
  const { ecg } = state;
  say("Classifying these ten seconds …");
  const { leads, rate, unit, signal } = ecg;
  const excerpt = new Recording(`${state.whole.name}, from ${clock(ecg.start)}`, { signal: { signal, rate, unit, leads } });
  state.excerpt = excerpt;
  const prediction = await excerpt.predict(state.bundle.name);
  if (turn === state.turn) showPrediction(prediction);
}

// --- downloads

async function download(format) {
  calm();
  say("Writing the report …");
  try {
    const stem = state.excerpt.name.replace(/\.[^.]*$/, "").replace(/[^\w.-]+/g, "-");
    let blob;
    if (format === "json") {
      const result = { ...state.prediction, timeline: state.timeline?.said };
      blob = new Blob([`${JSON.stringify(result, null, 2)}\n`], { type: "application/json" });
    } else {
      blob = await state.excerpt.report(state.bundle.name, format, state.relevance);
    }
    const link = element("a", { href: URL.createObjectURL(blob), download: `${stem}.${format}` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say("");
  } catch (error) {
    say("");
    trouble(error);
  }
}

// --- what the user does

$("files").addEventListener("change", (event) => {
  open(asRecordings([...event.target.files]));
  event.target.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  open(asRecordings([...event.dataTransfer.files]));
});
$("stated").addEventListener("submit", (event) => {
  event.preventDefault();
  const entry = state.recordings.find((one) => one.recording === state.whole);
  if (!entry) {
    trouble(new ServiceError("no_file", "Choose the file first.", 0));
    return;
  }
  entry.recording.stated = statedOptions();
  entry.error = entry.prediction = undefined;
  show(entry);
});
for (const id of ["layout", "rhythm", "speed", "gain"]) $(id).addEventListener("change", () => state.ecg && draw());
$("zoom-in").addEventListener("click", () => viewer.zoom(1));
$("zoom-out").addEventListener("click", () => viewer.zoom(-1));
$("zoom-fit").addEventListener("click", () => viewer.zoom(0));
$("calipers").addEventListener("click", () => measure(!viewer.measuring));
$("moment").addEventListener("input", (event) => jump(Number(event.target.value)));
$("earlier").addEventListener("click", () => jump(Number($("moment").value) - SHEET_SECONDS));
$("later").addEventListener("click", () => jump(Number($("moment").value) + SHEET_SECONDS));
$("another").addEventListener("click", () => $("files").click());
for (const button of document.querySelectorAll("[data-format]")) button.addEventListener("click", () => download(button.dataset.format));
$("bundle").addEventListener("change", async (event) => {
  await choose(event.target.value);
  for (const entry of state.recordings) entry.prediction = undefined;
  const entry = state.recordings.find((one) => one.recording === state.whole);
  if (entry) show(entry);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const keys = {
    o: () => $("files").click(),
    "+": () => viewer.zoom(1),
    "=": () => viewer.zoom(1),
    "-": () => viewer.zoom(-1),
    0: () => viewer.zoom(0),
    c: () => state.ecg && measure(!viewer.measuring),
    Escape: () => (viewer.measuring ? measure(false) : state.relevance && putExplanationAway()),
  };
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

function measure(on) {
  viewer.measure(on);
  $("calipers").setAttribute("aria-pressed", String(on));
}

onKeyWanted(
  () =>
    new Promise((resolve) => {
      const dialog = $("key");
      dialog.addEventListener("close", () => resolve($("key-value").value), { once: true });
      dialog.showModal();
    }),
);

async function choose(name) {
  state.bundle = await bundle(name);
}

async function begin() {
  $("rhythm").replaceChildren(...LEADS.map((lead) => element("option", { selected: lead === "II" }, lead)));
  try {
    const known = await bundles();
    $("bundle").replaceChildren(...known.map((name) => element("option", { value: name }, name)));
    await choose(known[0]);
    if (state.bundle.disclaimer) $("disclaimer").textContent = state.bundle.disclaimer;
    const { examples: shown } = await examples();
    $("examples").replaceChildren(
      ...shown.map(({ name, title }) =>
        element("li", {}, element("button", { type: "button", onclick: () => openExample(name, sentence(title)) }, sentence(title))),
      ),
    );
  } catch (error) {
    trouble(error);
  }
}

async function openExample(name, title) {
  calm();
  say("Fetching the example …");
  try {
    open([new Recording(title, { files: [await example(name)] })]);
  } catch (error) {
    say("");
    trouble(error);
  }
}

begin();
