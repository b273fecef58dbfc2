// SPDX-License-Identifier: MIT
// Incidents over time: one bar each, from when it began to when it ended; what is open runs to the right edge.

import { clock, duration, moment, shape, svg } from './dom.js';

/** The most rows of bars; more would push everything else off the screen. The rest are counted. */
const MAXIMUM_ROWS = 10;
const ROW = 26;
const DAY = 86_400_000;

/** Distances of the axis's marks, by range in days: a wide and a narrow picture. */
const STEPS = { 1: [4, 8], 7: [24, 48], 30: [120, 240] };

/** Puts bars into rows so that neither bars nor names overlap: the first row that is free, oldest first. */
export function pack(incidents, from, now, x, widthOfName) {
  const rows = [];
  let left = 0;
  const bars = [];
  for (const incident of [...incidents].sort((a, b) => moment(a.since) - moment(b.since))) {
    const end = moment(incident.closed) ?? now;
    if (end < from) continue;
    const start = Math.max(moment(incident.since), from);
    const name = widthOfName(incident);
    // A name that would leave the picture at the right ends there instead.
    const nameAt = Math.min(x(start) - 7, x(now) - name);
    const right = Math.max(x(end) + 8, nameAt + name + 12);
    let row = rows.findIndex((free) => free <= Math.min(nameAt, x(start) - 8));
    if (row < 0) row = rows.length;
    if (row >= MAXIMUM_ROWS) {
      left += 1;
      continue;
    }
    rows[row] = right;
    bars.push({ incident, row, start, end, nameAt, isOpen: !incident.closed });
  }
  return { bars, rows: rows.length, left };
}

function axisMarks(from, now, step) {
  const marks = [];
  const first = new Date(from);
  first.setMinutes(0, 0, 0);
  for (const date = first; date <= now; date.setHours(date.getHours() + 1)) {
    const isDaily = step >= 24;
    const days = Math.round((date - new Date(date.getFullYear(), 0, 1)) / DAY);
    if (isDaily ? date.getHours() === 0 && days % (step / 24) === 0 : date.getHours() % step === 0) {
      if (date >= from) marks.push(new Date(date));
    }
  }
  return marks;
}

export function drawTimeline(root, incidents, days, title) {
  const width = Math.max(240, root.clientWidth);
  const now = Date.now();
  const from = now - days * DAY;
  const x = (at) => 2 + ((at - from) / (now - from)) * (width - 12);
  const { bars, rows, left } = pack(incidents, from, now, x, (incident) => 10 + title(incident).length * 6.4);
  const bottom = Math.max(4, rows) * ROW + 6;
  const picture = svg('svg', { width, height: bottom + 20, role: 'img', viewBox: `0 0 ${width} ${bottom + 20}`,
    'aria-label': `${bars.length + left} incidents in the last ${days === 1 ? '24 hours' : `${days} days`}, `
      + `${bars.filter((bar) => bar.isOpen).length} of them open` });
  const step = STEPS[days][width < 480 ? 1 : 0];
  for (const mark of axisMarks(from, now, step)) {
    const at = x(mark.getTime());
    const text = step < 24 ? mark.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })
      : mark.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
    picture.append(svg('path', { class: 'axis', d: `M${at} 0V${bottom}` }));
    if (at < width - 70) picture.append(svg('text', { x: at, y: bottom + 15, 'text-anchor': at < 20 ? 'start' : 'middle' }, text));
  }
  picture.append(svg('path', { class: 'axis', d: `M0 ${bottom}H${width}` }),
    svg('text', { x: width - 2, y: bottom + 15, 'text-anchor': 'end' }, 'now'));
  for (const { incident, row, start, end, nameAt, isOpen } of bars) {
    const y = row * ROW + 19;
    const right = isOpen ? width : Math.max(x(end), x(start) + 8);
    picture.append(svg('g', { class: incident.severity },
      svg('title', {}, `${title(incident)}: ${clock(moment(incident.since))}, ${isOpen ? 'open since ' : 'lasted '}`
        + duration(end - moment(incident.since))),
      svg('path', { class: isOpen ? 'bar' : 'bar ended', d: `M${x(start)} ${y}H${right}` }),
      !isOpen && svg('path', { class: 'bar ended', d: `M${right} ${y - 4}V${y + 4}` }),
      svg('g', { transform: `translate(${x(start)} ${y}) scale(.75)` }, shape(incident.severity)),
      svg('text', { class: 'name', x: Math.max(0, nameAt), y: y - 8 }, title(incident))));
  }
  root.replaceChildren(picture);
  return { drawn: bars.length, left };
}
