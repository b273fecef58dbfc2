// SPDX-License-Identifier: MIT
// The fork tree: the best chain as one line, branches beside it, and who stands where. Newest at the top.

import { h, keyed, setText, shorten, svg } from './dom.js';

/** The most places that are drawn; more would be a wall. The rest are counted. */
const MAXIMUM_PLACES = 24;
/** The most names at one place before the rest is folded away. */
const MAXIMUM_NAMES = 8;
/** Up to so many blocks between two places each block is a dot; more are a dotted line with their number. */
const MAXIMUM_DOTS = 5;

/**
 * Rows from the top to the bottom, and the lane of each. Lane 0 is the best chain. A row is a place (a tip that somebody
 * stands on) or the fork of a branch at which nobody stands.
 */
export function layout(tips) {
  const order = (a, b) => b.isBest - a.isBest || b.height - a.height;
  const places = [...tips].sort(order).slice(0, MAXIMUM_PLACES)
    .map((tip) => ({ tip, height: tip.height, isBranch: !tip.isBest && tip.forkHeight < tip.height }));
  const onBest = new Set(places.filter((place) => !place.isBranch).map((place) => place.height));
  const forks = new Set(places.filter((place) => place.isBranch).map((place) => place.tip.forkHeight));
  const rows = places.concat([...forks].filter((height) => !onBest.has(height)).map((height) => ({ height })));
  rows.sort((a, b) => b.height - a.height || !!a.isBranch - !!b.isBranch);
  const free = []; // For each lane beside the best chain: the row at which it is free again.
  rows.forEach((row, index) => {
    row.lane = 0;
    if (!row.isBranch) return;
    row.forkRow = rows.findIndex((other) => !other.isBranch && other.height === row.tip.forkHeight);
    let lane = free.findIndex((end) => end <= index);
    if (lane < 0) lane = free.length;
    free[lane] = row.forkRow;
    row.lane = lane + 1;
  });
  return { rows, lanes: free.length + 1, left: tips.length - places.length };
}

const count = (number) => `${number} block${number === 1 ? '' : 's'}`;

function standing(row, best) {
  if (!row.tip) return `fork at ${row.height}`;
  if (row.tip.isBest) return 'best chain';
  const missing = best ? best.height - row.tip.forkHeight : 0;
  if (!row.isBranch) return missing > 0 ? `${count(missing)} behind` : 'on the best chain';
  return `branch of ${count(row.height - row.tip.forkHeight)} from ${row.tip.forkHeight}`
    + (missing > 0 ? `, lacks ${count(missing)} of the best chain` : '');
}

function nameOf(follower) {
  const own = { self: 'AltNet', node: 'your node' }[follower];
  return h('span', { class: own && 'own', title: own ? undefined : follower }, own ?? shorten(follower));
}

function names(followers) {
  const first = (name) => (name === 'self' ? 0 : name === 'node' ? 1 : 2);
  const all = [...followers].sort((a, b) => first(a) - first(b));
  if (all.length <= MAXIMUM_NAMES) return all.map(nameOf);
  const rest = all.slice(MAXIMUM_NAMES - 2);
  return [...all.slice(0, MAXIMUM_NAMES - 2).map(nameOf),
    h('details', {}, h('summary', {}, `${rest.length} more`), h('div', { class: 'who' }, ...rest.map(nameOf)))];
}

export function drawTree(root, tips) {
  let list = root.querySelector('ol');
  if (!list) {
    list = h('ol');
    root.append(svg('svg', { 'aria-hidden': 'true' }), list, h('p', { class: 'quiet' }));
    new ResizeObserver(() => draw(root)).observe(list);
  }
  const plan = layout(tips);
  const best = tips.find((tip) => tip.isBest);
  const laneWidth = Math.min(20, 110 / plan.lanes);
  list.style.setProperty('padding-left', `${Math.round(56 + plan.lanes * laneWidth)}px`);
  keyed(list, plan.rows, (row) => row.tip?.hash ?? `fork-${row.height}`, (row) => {
    if (!row.tip) return h('li', { class: 'fork' }, h('span'));
    return h('li', {}, h('div', { class: 'place' }, h('strong'), h('span'),
      h('code', { title: row.tip.hash }, `…${row.tip.hash.slice(-8)}`)), h('div', { class: 'who' }));
  }, (item, row) => {
    const state = standing(row, best);
    if (!row.tip) return setText(item.firstElementChild, state);
    const [height, text] = item.firstElementChild.children;
    setText(height, String(row.height));
    setText(text, state);
    text.className = row.tip.isBest || state === 'on the best chain' ? 'quiet' : 'warning-text';
    if (item.dataset.names === row.tip.followers.join('\n')) return undefined;
    item.dataset.names = row.tip.followers.join('\n');
    item.lastElementChild.replaceChildren(...names(row.tip.followers));
    return undefined;
  });
  setText(root.lastElementChild, tips.length === 0 ? 'No chain yet.'
    : plan.left > 0 ? `and ${plan.left} more places with less work` : '');
  root.plan = { ...plan, laneWidth };
  draw(root);
}

/** Draws the lines to where the rows have come to lie. */
function draw(root) {
  const { rows, lanes, laneWidth } = root.plan;
  const picture = root.querySelector('svg');
  const list = root.querySelector('ol');
  const items = [...list.children];
  const x = (lane) => 44 + lane * laneWidth;
  const y = rows.map((_, index) => items[index].offsetTop + 13);
  const height = list.offsetHeight + 8;
  picture.setAttribute('width', x(lanes));
  picture.setAttribute('height', height);
  const lines = [];
  const dots = [];
  const along = (lane, from, to, blocks, kind) => {
    const isSkipping = blocks - 1 > MAXIMUM_DOTS;
    for (let block = 1; block < blocks && !isSkipping; block += 1) {
      const at = from + ((to - from) * block) / blocks;
      dots.push(svg('circle', { class: `block-dot ${kind}`, cx: x(lane), cy: at, r: 3 }));
    }
    return isSkipping;
  };
  const straight = (kind, at, from, to, isSkipping) => {
    const inset = isSkipping ? Math.min(12, (to - from) / 3) : 0;
    if (!isSkipping) return lines.push(svg('path', { class: kind, d: `M${at} ${from}V${to}` }));
    return lines.push(svg('path', { class: kind, d: `M${at} ${from}V${from + inset}M${at} ${to - inset}V${to}` }),
      svg('path', { class: `${kind} skipped`, d: `M${at} ${from + inset}V${to - inset}` }));
  };
  const trunk = rows.map((row, index) => ({ row, index })).filter(({ row }) => row.lane === 0);
  trunk.forEach(({ row, index }, position) => {
    const next = trunk[position + 1];
    if (!next) {
      if (row.height > 0) straight('best-line', x(0), y[index], height, true);
      return;
    }
    const blocks = row.height - next.row.height;
    straight('best-line', x(0), y[index], y[next.index], along(0, y[index], y[next.index], blocks, ''));
    if (blocks > 1) {
      const middle = (y[index] + y[next.index]) / 2 + 4;
      lines.push(svg('text', { x: x(0) - 10, y: middle, 'text-anchor': 'end' }, String(blocks)));
    }
  });
  rows.forEach((row, index) => {
    if (!row.isBranch) return;
    const turn = y[row.forkRow] - 20;
    const isSkipping = along(row.lane, y[index], turn, row.height - row.tip.forkHeight, 'branch');
    straight('branch-line', x(row.lane), y[index], turn, isSkipping);
    lines.push(svg('path', { class: 'branch-line',
      d: `M${x(row.lane)} ${turn}C${x(row.lane)} ${turn + 14} ${x(0)} ${turn + 6} ${x(0)} ${turn + 20}` }));
  });
  rows.forEach((row, index) => {
    const kind = row.tip?.isBest ? 'tip' : row.isBranch ? 'branch' : '';
    if (row.tip) dots.push(svg('circle', { class: `place-dot ${kind}`, cx: x(row.lane), cy: y[index], r: 6 }));
    else dots.push(svg('circle', { class: 'block-dot', cx: x(0), cy: y[index], r: 4 }));
  });
  picture.replaceChildren(...lines, ...dots);
}
