// SPDX-License-Identifier: MIT
// What the daemon says: fetched at the start and again whenever an event says that it has changed. And whether it still
// speaks at all, because old data that looks current is worse than none.

/** The parts of the picture and where they are asked. */
const PARTS = {
  status: '/v1/status', safe: '/v1/safe', node: '/v1/node', links: '/v1/links', tips: '/v1/tips',
  open: '/v1/incidents?open=true&limit=200', incidents: '/v1/incidents?limit=300', drivers: '/v1/drivers',
  splices: '/v1/splices', punch: '/v1/punch', alerts: '/v1/alerts?limit=20',
};
/** Which parts an event makes out of date. */
const CHANGED_BY = {
  incident: ['open', 'safe', 'status'], tip: ['status', 'tips', 'links', 'node', 'safe'], link: ['links', 'tips', 'status', 'safe', 'punch'],
  node: ['node', 'tips', 'safe'], driver: ['drivers', 'status', 'punch'], alert: ['alerts'], lost: Object.keys(PARTS),
};
/** Asked all the time: ages and verdicts change without an event, and a daemon that hangs sends none. */
const PULSE = ['status', 'safe'];
const PULSE_EVERY = 4_000;
/** No answer for so long is a lost connection. */
const PATIENCE = 4_000;
/** All parts are asked again after so long: latencies change without an event. */
const ALL_EVERY = 20_000;
/** A stream that was refused (there are too many) is tried again after so long; until then the page only asks. */
const REFUSED_FOR = 30_000;
/** Events of one burst lead to one question. */
const BURST = 120;

/**
 * Calls `onData(data)` after each change and `onContact(state)` with `live`, `polling` (answers, but no event stream),
 * `lost` or `login`. `data` has the parts by name, `failures` by part, and `heardAt`.
 */
export function follow(onData, onContact) {
  const data = { failures: {}, heardAt: undefined };
  let contact = 'starting';
  let stream;
  let lastAll = 0;
  let listenAgainAt = 0;
  const due = new Set();
  let timer;
  let asking = false;

  const setContact = (state) => {
    contact = state;
    onContact(state, data);
  };

  async function ask(part) {
    const answer = await fetch(PARTS[part], { signal: AbortSignal.timeout(PATIENCE), cache: 'no-store' });
    if (answer.status === 401) throw new Refused();
    const value = await answer.json();
    if (!answer.ok && !(part === 'safe' && typeof value.safe === 'boolean')) {
      // What is no longer known is not shown: an old verdict must not outlive the daemon's ability to give one.
      data.failures[part] = value.message ?? `status ${answer.status}`;
      delete data[part];
    } else {
      delete data.failures[part];
      data[part] = value;
    }
  }

  async function refresh() {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    const parts = [...due];
    due.clear();
    if (parts.length === Object.keys(PARTS).length) lastAll = Date.now();
    try {
      await Promise.all(parts.map(ask));
      data.heardAt = Date.now();
      if (!stream && Date.now() >= listenAgainAt) listen();
      setContact(stream?.readyState === EventSource.OPEN ? 'live' : 'polling');
      onData(data);
    } catch (error) {
      if (error instanceof Refused) {
        close();
        setContact('login');
      } else {
        setContact('lost');
        lastAll = 0;
      }
    }
    asking = false;
    if (contact !== 'login') timer = setTimeout(refresh, due.size > 0 ? BURST : next());
  }

  /** What is asked when nothing happens, and in how long. */
  function next() {
    const everything = Date.now() - lastAll > ALL_EVERY;
    for (const part of everything ? Object.keys(PARTS) : PULSE) due.add(part);
    return contact === 'lost' ? 1_000 : PULSE_EVERY;
  }

  function soon(parts, wait = BURST) {
    for (const part of parts) due.add(part);
    if (contact === 'login' || asking) return;
    clearTimeout(timer);
    timer = setTimeout(refresh, wait);
  }

  function listen() {
    stream = new EventSource('/v1/events');
    // What happened while there was no stream is not repeated, so everything is asked again.
    stream.addEventListener('open', () => soon(Object.keys(PARTS), 0));
    stream.addEventListener('error', () => {
      if (stream?.readyState === EventSource.CLOSED) {
        // Answered, but refused. The question that follows tells whether there is a session and a daemon.
        close();
        listenAgainAt = Date.now() + REFUSED_FOR;
      } else {
        // The connection broke; the browser connects again by itself.
        setContact('lost');
      }
      soon(PULSE, 0);
    });
    for (const [name, parts] of Object.entries(CHANGED_BY)) {
      stream.addEventListener(name, (event) => {
        if (name === 'incident') apply(JSON.parse(event.data));
        soon(parts);
      });
    }
  }

  /** An incident is shown from the event itself: it must not wait for another question. */
  function apply({ incident }) {
    const others = (list) => (list ?? []).filter((other) => other.id !== incident.id);
    data.incidents = [incident, ...others(data.incidents)];
    data.open = incident.closed ? others(data.open) : [incident, ...others(data.open)];
    onData(data);
  }

  function close() {
    stream?.close();
    stream = undefined;
  }

  const everything = () => soon(Object.keys(PARTS), 0);
  /** Also after a log-in, which may have been in another tab. */
  function again() {
    if (contact === 'login') contact = 'starting';
    listenAgainAt = 0;
    everything();
  }
  // A page that was asleep does not know what it missed.
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) again();
  });
  everything();
  return { again };
}

class Refused extends Error {}
