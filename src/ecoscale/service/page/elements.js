// Making and finding elements. Text is set as text, never as markup: a file's name may hold anything.

export const $ = (id) => document.getElementById(id);

/** An HTML element with attributes (`on…` are listeners, `class` a class) and children. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** One decimal, and never a rounded 0 or 100 for what is neither. */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  if (share >= 0.9995 && share < 1) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** `h:mm:ss`, or seconds with a decimal below a minute. */
export function clock(seconds) {
  if (seconds < 60) return `${Math.round(10 * seconds) / 10} s`;
  const whole = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
