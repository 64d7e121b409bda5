// The service, as this page uses it: every request that is made, and what is said where one fails.

export class ServiceError extends Error {
  constructor(code, message, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

let key = "";
let measure = true; // null once the service said that it cannot
let askForKey = async () => "";

/** Call `ask` (which resolves to a key) whenever the service wants one. */
export function onKeyWanted(ask) {
  askForKey = ask;
}

async function request(path, options = {}, { signal } = {}) {
  const headers = new Headers(options.headers);
  if (key) headers.set("X-API-Key", key);
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("unreachable", "The service does not answer. Is it still running?", 0);
  }
  if (answer.status === 401) {
    key = await askForKey();
    if (key) return request(path, options, { signal });
  }
  if (answer.ok) return answer;
  let said = {};
  try {
    said = (await answer.json()).error ?? {};
  } catch {
    // A proxy's own page: its status is all there is to tell.
  }
  const told = { 413: "The file is larger than this service accepts.", 429: "The service is busy; try again in a moment." };
  throw new ServiceError(said.code ?? "failed", said.message ?? told[answer.status] ?? `The service answered with ${answer.status}.`, answer.status);
}

function query(values) {
  const filled = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return filled.length ? `?${new URLSearchParams(filled)}` : "";
}

const json = async (path) => (await request(path)).json();

/** The names of the bundles that are served, the default first. */
export const bundles = async () => (await json("/v1/bundles")).bundles;
export const bundle = (name) => json(`/v1/bundle${query({ bundle: name })}`);
export const examples = () => json("/v1/examples");

/** An example as a file, as if it had been dropped. */
export async function example(name) {
  const answer = await request(`/v1/examples/${encodeURIComponent(name)}`);
  return new File([await answer.blob()], `${name}.zip`, { type: "application/zip" });
}

/** One recording: files of the user's with what they do not state, or a signal that the page holds. */
export class Recording {
  constructor(name, { files = null, signal = null, stated = {} }) {
    this.name = name;
    this.files = files;
    this.signal = signal;
    this.stated = stated;
  }

  async post(path, values = {}, options = {}) {
    let body;
    const headers = {};
    if (this.signal) {
      body = JSON.stringify(this.signal);
      headers["Content-Type"] = "application/json";
    } else {
      body = new FormData();
      for (const file of this.files) body.append("file", file, file.name);
    }
    const stated = this.signal ? {} : this.stated;
    return request(`${path}${query({ ...stated, ...values })}`, { method: "POST", body, headers }, options);
  }

  async ask(path, values, options) {
    return (await this.post(path, values, options)).json();
  }

  /** Findings, and measurements where the service can take them. */
  async predict(bundle) {
    try {
      return await this.ask("/v1/predict", { bundle, measure });
    } catch (error) {
      if (!measure || error.status !== 501) throw error;
      measure = null;
      return this.ask("/v1/predict", { bundle });
    }
  }

  ecg(start, seconds, options) {
    return this.ask("/v1/ecg", { start, seconds }, options);
  }

  explain(bundle, finding, method) {
    return this.ask("/v1/explain", { bundle, finding, method });
  }

  /** Windows with a probability for each finding (null where not classified), and the episodes of all findings. */
  async timeline(bundle) {
    const said = await this.ask("/v1/timeline", { bundle });
    return {
      duration: said.duration_s,
      names: Object.keys(said.findings),
      windows: said.windows.map(({ start_s, stop_s, probabilities }) => ({ start: start_s, stop: stop_s, probabilities })),
      episodes: Object.entries(said.findings).flatMap(([finding, { episodes }]) =>
        episodes.map(({ start_s, stop_s, start, highest_probability }) => ({ finding, start: start_s, stop: stop_s, clock: start, highest: highest_probability })),
      ),
      said,
    };
  }

  async report(bundle, format, relevance) {
    const { finding, method } = relevance ?? {};
    return (await this.post("/v1/report", { bundle, format, finding, method })).blob();
  }
}
