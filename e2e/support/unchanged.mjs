// Whether anything changed: all that the API shows of an org, before and after, and the trail between.

import assert from 'node:assert/strict';

/** What moves by itself, or because it was looked at. */
const MOVING = new Set(['last_used_at', 'last_used_from', 'next_cursor', 'effective_at']);

/**
 * Runs `act`, and fails if the org is not afterwards what it was before, or if the trail has a change
 * that a browser made. `more` are paths to compare beside those that every org has.
 */
export async function expectUnchanged(server, act, { more = [] } = {}) {
  const before = await everything(server, more);
  const since = await lastNumber(server);
  const result = await act();
  assert.deepEqual(await everything(server, more), before, 'the org has changed');
  const changes = (await eventsAfter(server, since)).filter((event) =>
    event.change !== undefined && /Mozilla/.test(event.user_agent ?? ''));
  assert.deepEqual(changes, [], 'the trail has changes that the browser made');
  return result;
}

async function everything(server, more) {
  const state = {};
  const read = async (path) => {
    const { status, body } = await server.ask('GET', path, undefined, { token: server.key });
    // A route may not be there, and then it stays so.
    state[path] = status === 200 ? still(body) : status;
    return body;
  };
  const { workspaces } = await read('/workspaces?limit=100');
  for (const { id } of workspaces) {
    for (const part of ['channels', 'secrets', 'secrets/values', 'tokens']) await read(`/workspaces/${id}/${part}`);
  }
  const paths = ['/org/tokens?status=all&limit=100', '/org/policy', '/org/requests?status=all&limit=100', '/org/members'];
  for (const path of [...paths, ...more]) await read(path);
  return state;
}

/** The same without what moves. */
function still(value) {
  if (Array.isArray(value)) return value.map(still);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value)
    .filter(([name]) => !MOVING.has(name))
    .map(([name, one]) => [name, still(one)]));
}

async function lastNumber(server) {
  const { events } = await server.api('GET', '/org/audit?limit=1');
  return events[0]?.seq ?? 0;
}

/** Every record after a number, oldest first. */
export async function eventsAfter(server, number) {
  const events = [];
  let cursor;
  do {
    const query = cursor ? `&cursor=${cursor}` : '';
    const part = await server.api('GET', `/org/audit?after=${number}&limit=100${query}`);
    events.push(...part.events);
    cursor = part.next_cursor;
  } while (cursor);
  return events;
}
