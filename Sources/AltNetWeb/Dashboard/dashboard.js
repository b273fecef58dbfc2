// SPDX-License-Identifier: MIT
// The dashboard of altnetd. It only looks: nothing on this page changes anything.

import { byID, setText, tick } from './dom.js';
import { follow } from './live.js';
import { showPunch } from './punch.js';
import { drawTimeline } from './timeline.js';
import { drawTree } from './tree.js';
import { showContact, showIncidents, showLinks, showNode, showRest, showVerdict, title } from './views.js';

let contact = 'starting';
let data = { failures: {} };

function drawHistory() {
  if (!data.incidents) return;
  const days = Number(document.querySelector('#range input:checked').value);
  drawTimeline(byID('timeline'), data.incidents, days, title);
}

function onData(fresh) {
  data = fresh;
  showVerdict(contact, data);
  showIncidents(data);
  if (data.tips) drawTree(byID('tree-picture'), data.tips);
  showLinks(data);
  showNode(data);
  showPunch(data);
  showRest(data);
  drawHistory();
}

function onContact(state, fresh) {
  contact = state;
  data = fresh;
  byID('login').hidden = state !== 'login';
  byID('board').hidden = state === 'login';
  showVerdict(contact, data);
  showContact(contact, data);
}

const live = follow(onData, onContact);

setInterval(() => {
  tick();
  showContact(contact, data);
}, 1000);
setInterval(drawHistory, 30_000);
byID('range').addEventListener('change', drawHistory);
new ResizeObserver(drawHistory).observe(byID('timeline'));

byID('again').addEventListener('click', live.again);

// The theme: what the system says, unless somebody chose; remembered in this browser.
const THEMES = ['automatic', 'light', 'dark'];
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  setText(byID('theme'), `Theme: ${theme}`);
}
setTheme(THEMES.find((theme) => theme === localStorage.getItem('theme')) ?? 'automatic');
byID('theme').addEventListener('click', () => {
  const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  localStorage.setItem('theme', theme);
  setTheme(theme);
});
