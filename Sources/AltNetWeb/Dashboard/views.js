// SPDX-License-Identifier: MIT
// The parts of the page, each from the reports of the control interface.

import { age, byID, clock, duration, h, keyed, mark, moment, setText, shorten, show } from './dom.js';

const SEVERITY = { critical: 'Critical', warning: 'Warning' };
const ENDINGS = {
  'caught-up': 'it caught up', 'link-closed': 'the link closed', over: 'it is over', stopped: 'altnetd stopped',
};
const ACTIONS = {
  'open-links': 'open further links', 'feed-headers': 'feed headers', 'feed-blocks': 'feed blocks',
  'add-spliced-peer': 'add a spliced peer', 'drop-peers': 'drop peers', alert: 'alert',
};
const OUTCOMES = { planned: 'only planned (dry run)', done: 'done', failed: 'failed' };

const words = (kind) => kind.replaceAll('-', ' ');
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
const subjectName = (subject) => ({ node: 'your node', chain: 'the chain', self: 'AltNet' })[subject] ?? subject;

/** The name of an incident in a few words. */
export const title = (incident) => {
  const about = incident.subject === 'node' || incident.subject === 'chain' ? '' : `: ${shorten(incident.subject, 24)}`;
  return capital(words(incident.kind)) + about;
};

// MARK: The verdict

const VERDICTS = {
  safe: ['✓', 'Safe'], unsafe: ['!', 'Not safe'], lost: ['×', 'Connection lost'], starting: ['…', 'Asking altnetd'],
};

export function showVerdict(contact, data) {
  const state = contact === 'lost' ? 'lost' : data.safe ? (data.safe.safe ? 'safe' : 'unsafe') : 'starting';
  const [sign, text] = VERDICTS[state];
  byID('verdict').dataset.state = state;
  setText(byID('verdict-sign'), sign);
  setText(byID('verdict-text'), text);
  const reasons = [];
  if (state === 'lost') {
    reasons.push(data.heardAt ? `altnetd has not answered since ${clock(data.heardAt)}. Nothing below is current.`
      : 'altnetd does not answer.', 'This page keeps trying. On the machine: systemctl status altnetd');
  } else {
    reasons.push(...(data.safe?.reasons ?? []));
    if (state === 'safe') reasons.push('Your view of the chain agrees with every path that is watched.');
    if (data.status?.storeFailure) reasons.push(data.status.storeFailure);
    for (const [part, why] of Object.entries(data.failures)) reasons.push(`Cannot show ${part}: ${why}`);
  }
  show(byID('reasons'), reasons, () => reasons.map((reason) => h('li', {}, reason)));
  document.documentElement.dataset.contact = contact;
  const status = data.status;
  document.title = `${state === 'starting' ? '' : `${sign} ${text} – `}AltNet${status ? ` ${status.network}` : ''}`;
  const figures = [
    ['Best chain', status && String(status.chain.height)],
    ['Last block', status && moment(status.chain.tipTime)],
    ['Links', status && (status.linksBehind ? `${status.links}, ${status.linksBehind} behind` : String(status.links))],
    ['Open incidents', data.open && String(data.open.length)],
  ];
  show(byID('figures'), figures, () => figures.map(([name, value]) => h('div', {}, h('dt', { class: 'quiet' }, name),
    h('dd', {}, value === undefined ? '–' : typeof value === 'number' ? age(status.chain.tipTime, '', ' ago') : value))));
  if (!status) return;
  setText(byID('network'), status.network);
  byID('network').hidden = false;
  setText(byID('software'), status.software);
}

export function showContact(contact, data) {
  const passed = data.heardAt ? duration(Date.now() - data.heardAt) : undefined;
  const text = {
    starting: 'connecting', live: `live, ${passed} ago`, polling: `no event stream, asked ${passed} ago`,
    lost: passed ? `lost, last heard ${passed} ago` : 'no answer', login: 'not logged in',
  }[contact];
  byID('contact').dataset.state = contact;
  setText(byID('contact-text'), text);
}

// MARK: Incidents

const bySeverity = (a, b) => (a.severity === b.severity ? 0 : a.severity === 'critical' ? -1 : 1)
  || moment(b.opened) - moment(a.opened);

export function showIncidents(data) {
  const open = [...(data.open ?? [])].sort(bySeverity);
  setText(byID('incident-count'), open.length ? String(open.length) : '');
  byID('no-incidents').hidden = data.open === undefined || open.length > 0;
  keyed(byID('open-incidents'), open, (incident) => incident.id, makeIncident, updateIncident);
  const closed = (data.incidents ?? []).filter((incident) => incident.closed).slice(0, 50);
  setText(byID('closed-count'), closed.length === 50 ? 'the last 50' : String(closed.length));
  byID('closed').hidden = closed.length === 0;
  keyed(byID('closed-incidents'), closed, (incident) => incident.id, makeIncident, updateIncident);
}

const makeIncident = (incident) => h('li', {}, h('details', { id: `incident-${incident.id}`, class: 'fresh' },
  h('summary'), h('div', { class: 'body' })));

function updateIncident(item, incident) {
  const details = item.firstElementChild;
  details.dataset.severity = incident.severity;
  const [summary, body] = details.children;
  const last = incident.actions.at(-1);
  const done = last ? `${count(incident.actions.length, 'action')}, the last: ${actionText(last)}` : 'Nothing was done about it.';
  const ended = incident.closed ? `ended ${clock(moment(incident.closed))}, ${ENDINGS[incident.ending] ?? 'it is over'}` : '';
  show(summary, [incident.severity, incident.kind, incident.subject, incident.explanation, incident.since, ended, done],
    () => [mark(incident.severity),
      h('span', { class: 'what' }, h('strong', {}, `${SEVERITY[incident.severity] ?? incident.severity}: ${words(incident.kind)}`),
        h('span', { title: incident.subject }, shorten(subjectName(incident.subject), 40)),
        ended ? h('span', { class: 'quiet' }, ended) : age(incident.since, 'for ')),
      h('p', {}, incident.explanation), h('p', { class: 'done' }, done)]);
  show(body, [incident.actions, incident.measures, incident.behind, incident.updated, incident.closed],
    () => incidentBody(incident));
}

const actionText = (action) => `${ACTIONS[action.action] ?? action.action}: ${OUTCOMES[action.outcome] ?? action.outcome}`
  + (action.detail ? `. ${action.detail}` : '');

function incidentBody(incident) {
  const facts = [['Number', String(incident.id)], ['Subject', incident.subject], ['Began', clock(moment(incident.since))],
    ['Reported', clock(moment(incident.opened))], ['Updated', clock(moment(incident.updated))]];
  if (incident.behind) {
    facts.push(['Missing', `${count(incident.behind.blocks, 'block')} from height ${incident.behind.firstMissingHeight} on`],
      ['First missing', incident.behind.firstMissingHash], ['Proven by', subjectName(incident.behind.provenBy)]);
  }
  const parts = [h('h3', {}, 'What was done'),
    incident.actions.length === 0 ? h('p', {}, 'Nothing.')
      : h('ul', { class: 'actions' }, ...incident.actions.map((action) => h('li', {}, h('time', { class: 'quiet',
        datetime: action.at }, clock(moment(action.at))), ' ', actionText(action))))];
  if (incident.measures.length > 0) {
    parts.push(h('h3', {}, 'Measures'), h('table', {}, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Measure'),
      h('th', { scope: 'col', class: 'number' }, 'Value'))), h('tbody', {}, ...incident.measures.map((measure) =>
      h('tr', {}, h('th', { scope: 'row' }, measure.name), h('td', { class: 'number' }, figure(measure)))))));
  }
  parts.push(h('h3', {}, 'Facts'), factList(facts), h('p', {}, h('a', { href: `/v1/incidents/${incident.id}/evidence`,
    download: `altnet-incident-${incident.id}.json` }, 'Download the evidence'), ' ',
  h('span', { class: 'quiet' }, 'Anybody can check it with altnet incidents verify FILE.')));
  return parts;
}

function figure({ value, unit }) {
  const size = Math.abs(value);
  const number = Number.isInteger(value) && size < 1e9 ? String(value)
    : size !== 0 && (size < 0.001 || size >= 1e9) ? value.toExponential(1) : String(Number(value.toPrecision(4)));
  return unit ? `${number} ${unit}` : number;
}

export const factList = (facts) => h('dl', { class: 'facts' },
  ...facts.filter(([, value]) => value).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));

// MARK: Links

function behindText(link) {
  if (link.state !== 'open') return link.state;
  if (link.isLowWork) return 'low work';
  return link.missingBlocks === undefined || link.missingBlocks === null ? '?' : String(link.missingBlocks);
}

export const milliseconds = (value) => (value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`);
const isNumber = (value) => typeof value === 'number';

export function showLinks(data) {
  const links = data.links ?? [];
  setText(byID('link-count'), links.length ? String(links.length) : '');
  byID('no-links').hidden = data.links === undefined || links.length > 0;
  byID('link-table').hidden = links.length === 0;
  const key = (link) => (link.id ?? `${link.driver} ${link.target}`);
  keyed(byID('link-table').tBodies[0], links, key, () => h('tr'), (row, link) => {
    show(row, link, () => {
      const name = link.target ?? link.remote ?? link.identity ?? '?';
      const behind = behindText(link);
      const isBad = link.state !== 'open' || link.missingBlocks > 0 || link.isLowWork;
      const cell = (label, ...content) => h('td', { 'data-label': label }, ...content);
      const number = (label, ...content) => h('td', { 'data-label': label, class: 'number' }, ...content);
      return [
        h('th', { scope: 'row' }, h('span', { title: name }, shorten(name, 44)),
          (link.reason ?? link.agent) && h('small', {}, link.reason ?? link.agent)),
        cell('Driver', link.driver), number('Tip', isNumber(link.tipHeight) ? String(link.tipHeight)
          : isNumber(link.presyncHeight) ? `(${link.presyncHeight})` : '?'),
        number('Behind', h('span', { class: isBad ? 'warning-text' : undefined }, behind),
          link.missingSince && h('small', {}, age(link.missingSince, 'for '))),
        number('Latency', isNumber(link.latencyMilliseconds) ? milliseconds(link.latencyMilliseconds) : '–'),
        number('Lateness', isNumber(link.latenessSeconds) ? milliseconds(link.latenessSeconds * 1000) : '–'),
        cell('Exposure', link.exposure ?? '–'), h('td', { 'data-label': 'Since', class: 'fixed' }, age(link.since)),
      ];
    });
  });
}

// MARK: Node, drivers, splices, alerts

const REACH = { reachable: 'answers', unreachable: 'does not answer', refused: 'refuses our credentials',
  'wrong-network': 'is on another network', none: 'no node is configured' };

export function showNode(data) {
  const node = data.node;
  if (!node) return;
  show(byID('node-facts'), node, () => {
    const isBad = node.reach !== 'reachable' && node.reach !== 'none';
    const facts = [['State', h('span', { class: isBad ? 'critical-text' : undefined },
      (REACH[node.reach] ?? node.reach) + (node.isSyncing ? ', still syncing' : '') + (node.reason ? `: ${node.reason}` : ''))]];
    if (node.reach !== 'none') {
      facts.push(['What', node.description], ['Version', node.version],
        ['Blocks', isNumber(node.blocks) && `${node.blocks} of ${node.headers} headers`],
        ['Behind', isNumber(node.missingBlocks) && h('span', { class: node.missingBlocks ? 'warning-text' : undefined },
          count(node.missingBlocks, 'block'))],
        ['Peers', `${node.outboundPeers} outbound, ${node.inboundPeers} inbound`], ['Followed by', node.followedBy],
        ['May change', node.allow.join(', ') || 'nothing']);
    }
    return [...factList(facts).children];
  });
}

const list = (id, items, empty, make) => show(byID(id), items ?? null,
  () => (items === undefined ? [] : items.length === 0 ? [h('li', { class: 'quiet' }, empty)] : items.map(make)));

const bytes = (value) => (value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e3).toFixed(1)} kB`);

export function showRest(data) {
  list('driver-list', data.drivers, 'No drivers.', (driver) => h('li', {},
    h('strong', {}, driver.name), ' ', h('span', { class: driver.state === 'attached' ? 'quiet' : 'warning-text' },
      driver.state + (driver.restarts ? `, restarted ${driver.restarts}×` : '')),
    h('small', {}, driver.reason ?? [driver.exposure && `exposure ${driver.exposure}`,
      driver.listening.length > 0 && `listens on ${driver.listening.join(', ')}`].filter(Boolean).join(', '))));
  list('splice-list', data.splices, 'No splices.', (splice) => h('li', {},
    h('strong', {}, splice.name), ' ', h('span', { class: splice.reason ? 'warning-text' : 'quiet' },
      splice.reason ?? count(splice.connections, 'connection')),
    h('small', {}, `${splice.listening ?? 'not listening'} through ${splice.driver}${splice.target
      ? ` to ${shorten(splice.target)}` : ''}; ${bytes(splice.bytesIn)} in, ${bytes(splice.bytesOut)} out`)));
  list('alert-list', data.alerts, 'No alert was sent.', (alert) => h('li', {},
    h('strong', {}, alert.sink), ' ', h('span', { class: alert.outcome === 'delivered' ? 'quiet' : 'warning-text' },
      words(alert.outcome) + (alert.attempt > 1 ? `, attempt ${alert.attempt}` : '')),
    h('small', {}, age(alert.at, '', ' ago'), ` of incident ${alert.incident}`, alert.detail ? `: ${alert.detail}` : '')));
}
