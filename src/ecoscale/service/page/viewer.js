// Looking at the sheet: zoom, pan and calipers. The browser scrolls; zooming sets how wide a millimetre is.

import { drawn, element } from "/page/elements.js";

const SMALLEST = 2.2; // pixels per mm below which a trace cannot be read: a phone then shows part of the sheet
const LARGEST = 24;
const STEP = 1.3;
const NUDGE = { mm: 0.1, far: 1 };

export class Viewer {
  /** `frame` scrolls what it holds; `say` is told what the calipers read. */
  constructor(frame, say) {
    this.frame = frame;
    this.say = say;
    this.sheet = null;
    this.over = null;
    this.scale = null; // pixels per mm; null: the whole width
    this.measuring = false;
    this.corners = null;
    this.pointer = null;
    frame.addEventListener("pointerdown", (event) => this.#down(event));
    frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, () => (this.pointer = null));
    frame.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    new ResizeObserver(() => this.#resize()).observe(frame);
  }

  show(sheet) {
    this.sheet = sheet;
    // The calipers lie over the drawing, which is one image to a screen reader.
    this.over = drawn("svg", { class: "over", viewBox: sheet.svg.getAttribute("viewBox") });
    this.frame.replaceChildren(element("div", { class: "stack" }, sheet.svg, this.over));
    this.corners = null;
    this.say("");
    this.#resize();
    if (this.measuring) this.#place();
  }

  get fitted() {
    return Math.max(this.frame.clientWidth / this.sheet.width, SMALLEST);
  }

  get pixels() {
    return this.scale ?? this.fitted;
  }

  zoom(direction, at = null) {
    if (!this.sheet) return;
    const before = this.pixels;
    const after = Math.min(LARGEST, Math.max(direction ? before * STEP ** direction : this.fitted, SMALLEST / 2));
    const box = this.frame.getBoundingClientRect();
    const x = at ? at.x - box.left : box.width / 2;
    const y = at ? at.y - box.top : box.height / 2;
    const left = (this.frame.scrollLeft + x) * (after / before) - x;
    const top = (this.frame.scrollTop + y) * (after / before) - y;
    this.scale = direction ? after : null;
    this.#resize();
    this.frame.scrollTo(direction ? { left, top } : { left: 0, top: 0 });
  }

  measure(on) {
    this.measuring = on;
    this.frame.classList.toggle("measuring", on);
    this.over?.replaceChildren();
    this.corners = null;
    this.say("");
    if (on && this.sheet) this.#place();
  }

  #resize() {
    if (!this.sheet || !this.frame.clientWidth) return;
    for (const svg of [this.sheet.svg, this.over]) {
      svg.setAttribute("width", (this.sheet.width * this.pixels).toFixed(1));
      svg.setAttribute("height", (this.sheet.height * this.pixels).toFixed(1));
    }
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // scrolling is the browser's
    event.preventDefault();
    this.zoom(event.deltaY < 0 ? 1 : -1, { x: event.clientX, y: event.clientY });
  }

  #millimetres(event) {
    const matrix = this.sheet.svg.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
    return { x, y };
  }

  #down(event) {
    if (!this.sheet || event.button !== 0) return;
    if (this.measuring) {
      const corner = event.target.closest?.(".corner");
      const at = this.#millimetres(event);
      this.pointer = { corner: corner ? Number(corner.dataset.corner) : 1 };
      if (!corner) this.corners = [at, { ...at }];
      this.#draw();
    } else if (event.pointerType === "mouse") {
      this.pointer = { x: event.clientX, y: event.clientY, left: this.frame.scrollLeft, top: this.frame.scrollTop };
    }
    if (this.pointer) this.frame.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.pointer) return;
    if (this.measuring) {
      this.corners[this.pointer.corner] = this.#millimetres(event);
      this.#draw();
    } else {
      this.frame.scrollTo(this.pointer.left - (event.clientX - this.pointer.x), this.pointer.top - (event.clientY - this.pointer.y));
    }
  }

  /** Calipers for the keyboard: a big square in the middle of what is seen. */
  #place() {
    const box = this.frame.getBoundingClientRect();
    const middle = this.#millimetres({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 });
    this.corners = [middle, { x: middle.x + 5, y: middle.y - 5 }];
    this.#draw();
  }

  get reading() {
    const [from, to] = this.corners;
    const milliseconds = (Math.abs(to.x - from.x) / this.sheet.look.speed) * 1000;
    const millivolts = (from.y - to.y) / this.sheet.look.gain;
    return { milliseconds, millivolts, perMinute: milliseconds > 0 ? 60000 / milliseconds : null };
  }

  #draw() {
    const [from, to] = this.corners;
    const { milliseconds, millivolts, perMinute } = this.reading;
    const rate = perMinute && perMinute <= 400 ? `, ${perMinute.toFixed(0)} per minute` : "";
    const text = `${milliseconds.toFixed(0)} ms${rate}, ${millivolts < 0 ? "−" : ""}${Math.abs(millivolts).toFixed(2)} mV`;
    let group = this.over.querySelector(".calipers");
    if (!group) {
      const corner = (number) =>
        drawn("circle", {
          class: "corner",
          "data-corner": number,
          r: 1.6,
          tabindex: 0,
          role: "slider",
          "aria-label": number ? "Second corner of the calipers" : "First corner of the calipers",
          "aria-valuemin": 0,
          onkeydown: (event) => this.#nudge(event, number),
        });
      group = drawn("g", { class: "calipers", role: "group", "aria-label": "Calipers" }, drawn("rect"), drawn("path"), corner(0), corner(1), drawn("text"));
      this.over.append(group);
    }
    const [rect, lines, first, second, label] = group.children;
    const set = (node, values) => Object.entries(values).forEach(([name, value]) => node.setAttribute(name, value));
    const [left, top] = [Math.min(from.x, to.x), Math.min(from.y, to.y)];
    set(rect, { x: left, y: top, width: Math.abs(to.x - from.x), height: Math.abs(to.y - from.y) });
    set(lines, { d: `M${from.x} -3V${this.sheet.height}M${to.x} -3V${this.sheet.height}` });
    for (const [node, point] of [[first, from], [second, to]]) {
      set(node, { cx: point.x, cy: point.y, "aria-valuenow": milliseconds.toFixed(0), "aria-valuetext": text, "aria-valuemax": 10000 });
    }
    set(label, { x: Math.min(left, this.sheet.width - 60), y: Math.max(top - 2.5, 4) });
    label.textContent = text;
    this.say(text);
  }

  #nudge(event, corner) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.shiftKey ? NUDGE.far : NUDGE.mm;
    this.corners[corner] = { x: this.corners[corner].x + move[0] * step, y: this.corners[corner].y + move[1] * step };
    this.#draw();
  }
}
