// SPDX-License-Identifier: MIT
// Hole punching, from its overview.

import { age, byID, h, keyed, setText, shorten, show } from './dom.js';
import { count, factList, milliseconds } from './views.js';

const MAPPINGS = {
  open: 'no NAT, or one that lets everybody in', 'endpoint-independent': 'lets connections be punched',
  'endpoint-dependent': 'another port for each connection: can seldom be punched',
};
const WAYS = {
  direct: 'directly', ipv6: 'over IPv6', mapped: 'at a mapped port', punch: 'punched', relayed: 'relayed over the endpoint',
};

const percent = (part) => `${Math.round(Math.min(Math.max(part, 0), 1) * 100)} %`;

function natFact(nat) {
  if (!nat) return undefined;
  if (nat.mapping === 'unknown') return h('span', { class: 'warning-text', title: nat.reason }, 'not known yet');
  const isBad = nat.mapping === 'endpoint-dependent';
  const ports = nat.preservesPort === undefined ? '' : nat.preservesPort ? ', keeps port numbers' : ', changes port numbers';
  return h('span', { class: isBad ? 'warning-text' : undefined, title: nat.reason },
    `${nat.mapping}: ${MAPPINGS[nat.mapping] ?? 'of an unknown kind'}${ports}; ${percent(nat.confidence)} sure`);
}

/** The section is there for those who use hole punching, or pass on offers of those who do. */
export function showPunch(data) {
  const punch = data.punch;
  byID('punch').hidden = !punch || !(punch.driver || punch.outboundWanted || punch.offersKnown);
  if (byID('punch').hidden) return;
  // Who only passes offers on lacks nothing.
  const problem = punch.driver || punch.outboundWanted ? punch.problem : undefined;
  byID('punch-problem').hidden = !problem;
  setText(byID('punch-problem'), problem ?? '');
  show(byID('punch-facts'), [punch.nat, punch.stats, punch.outbound, punch.outboundWanted, punch.offersKnown, punch.offersOwn,
    punch.offerLinks], () => {
    const { stats } = punch;
    return [...factList([
      ['Our NAT', natFact(punch.nat)], ['Seen as', punch.nat?.external.join(', ')],
      ['Endpoints', stats && (stats.endpoints.length === 0 ? 'none' : h('span', { title: stats.endpoints.join('\n') },
        stats.endpoints.map((endpoint) => shorten(endpoint, 30)).join(', ')))],
      ['Inbound', stats && `${stats.slotsTaken} of ${stats.slots} wanted`],
      ['Outbound', `${punch.outbound} of ${punch.outboundWanted} wanted`],
      ['Offers', `${punch.offersKnown} of others, ${punch.offersOwn === 0 ? 'none of ours' : `${punch.offersOwn} of ours`},`
        + ` over ${count(punch.offerLinks, 'link')}`],
    ]).children];
  });
  byID('punch-table').hidden = punch.recent.length === 0;
  keyed(byID('punch-table').tBodies[0], punch.recent, (attempt) => attempt.id, () => h('tr'), updateAttempt);
}

function updateAttempt(row, attempt) {
  show(row, attempt, () => {
    const cell = (label, ...content) => h('td', { 'data-label': label }, ...content);
    const number = (label, ...content) => h('td', { 'data-label': label, class: 'number' }, ...content);
    const isConnected = attempt.outcome === 'connected';
    const name = attempt.peer ?? attempt.endpoint;
    return [
      h('th', { scope: 'row' }, h('span', { title: attempt.endpoint }, shorten(name, 40)),
        attempt.reason && h('small', {}, attempt.reason)),
      cell('Called by', attempt.role === 'initiator' ? 'us' : 'them'),
      cell('Outcome', h('span', { class: isConnected ? undefined : 'warning-text' },
        isConnected ? WAYS[attempt.path] ?? 'connected' : attempt.outcome.replaceAll('-', ' '))),
      number('Attempts', String(attempt.attempts)), number('Time', milliseconds(attempt.milliseconds)),
      cell('NATs', `${attempt.ownNAT} / ${attempt.peerNAT}`),
      h('td', { 'data-label': 'When', class: 'fixed' }, age(attempt.at, '', ' ago')),
    ];
  });
}
