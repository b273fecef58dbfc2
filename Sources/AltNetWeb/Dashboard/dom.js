// SPDX-License-Identifier: MIT
// Building and changing the page. Text of others becomes text nodes and nothing else: there is no innerHTML anywhere.

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

export const byID = (id) => document.getElementById(id);

/** Writes only what differs, so that nothing flickers, loses its selection or is read aloud again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Replaces the children of an element only when what they show has changed.
 * `shown` is any value of JSON that stands for it.
 */
const shownBy = new WeakMap();
export function show(element, shown, make) {
  const text = JSON.stringify(shown);
  if (shownBy.get(element) === text) return false;
  shownBy.set(element, text);
  element.replaceChildren(...make());
  return true;
}

/** Keeps one child for each item, by key, in order: what is expanded or has the focus stays so. */
export function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = old.get(name);
    if (child) old.delete(name);
    else {
      child = make(item);
      child.dataset.key = name;
    }
    update(child, item);
    if (child === before) before = before.nextElementSibling;
    else parent.insertBefore(child, before);
  }
  for (const child of old.values()) child.remove();
}

/** A moment of the interface (RFC 3339) in milliseconds; undefined when there is none. */
export const moment = (text) => (text ? Date.parse(text) : undefined);

/** How long something lasts: two units at most. */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 7 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** A moment for people: the time of day, with the date unless it is today's. */
export function clock(at) {
  const date = new Date(at);
  const time = date.toLocaleTimeString('en-GB');
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time}`;
}

/** An element whose text is the age of a moment; `tick` keeps it true. */
export function age(text, before = '', after = '') {
  const at = moment(text);
  if (at === undefined) return h('span', {}, '–');
  const element = h('time', { datetime: text, title: clock(at), 'data-before': before, 'data-after': after });
  element.textContent = before + duration(Date.now() - at) + after;
  return element;
}

export function tick() {
  for (const element of document.querySelectorAll('time[data-before]')) {
    const passed = duration(Date.now() - Date.parse(element.dateTime));
    setText(element, element.dataset.before + passed + element.dataset.after);
  }
}

/** A long name, cut in the middle; its beginning and its end tell it apart. */
export function shorten(text, limit = 30) {
  if (text.length <= limit) return text;
  const half = Math.floor((limit - 1) / 2);
  return `${text.slice(0, half + 4)}…${text.slice(-(half - 4))}`;
}

/** The mark of a severity: a diamond or a triangle, so that colour is not all that tells them apart. */
export function mark(severity) {
  return svg('svg', { class: `mark ${severity}`, viewBox: '-7 -7 14 14', 'aria-hidden': 'true' }, shape(severity));
}

export function shape(severity) {
  return svg('path', { class: severity, d: severity === 'critical' ? 'M0-7 7 0 0 7-7 0Z' : 'M0-6 7 6H-7Z' });
}
