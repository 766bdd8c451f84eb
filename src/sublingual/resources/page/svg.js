// Elements of HTML and SVG in one call each; text is always set as text.

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

export function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true && !key.startsWith("aria-") ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const canvas = document.createElement("canvas").getContext("2d");

/** Measures texts in the font family of an element. */
export function measureIn(element) {
  const family = getComputedStyle(element).fontFamily;
  const known = new Map();
  return (text, size) => {
    const key = `${size} ${text}`;
    if (!known.has(key)) {
      canvas.font = `${size}px ${family}`;
      known.set(key, canvas.measureText(text).width);
    }
    return known.get(key);
  };
}

/** In per cent; 100 and 0 are said of nothing else. */
export const percent = (share) => `${share > 0 && share < 1 ? Math.min(99, Math.max(1, Math.round(100 * share))) : 100 * share} %`;
