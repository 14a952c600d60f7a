// What an attacker would like a signed-in admin's browser to do: every route of the API that changes
// something, and every form of the Canvas, against things that are there. The last text of `json` is
// one that may be anything: see `support/attacks.mjs`.

import { readFile } from 'node:fs/promises';

/** What is there to be attacked: made by a key that may do everything. Gives the ids by their types. */
export async function furnish(server) {
  const ws = (await server.api('POST', '/workspaces', { name: 'victim' })).id;
  const at = `/workspaces/${ws}`;
  await server.api('PUT', `${at}/secrets`, { key: 'DB_PASSWORD', value: 'hunter2' });
  const ch = (await server.api('POST', `${at}/channels`,
    { type: 'webhook', name: 'victim', config: { url: 'https://127.0.0.1:9/hook' } })).id;
  const wst = (await server.api('POST', `${at}/tokens`, {})).id;
  const tok = (await server.api('POST', '/org/tokens', { name: 'victim', preset: 'reader' })).id;
  const asker = await server.api('POST', '/org/tokens', { name: 'asker', preset: 'reader' });
  const req = (await server.api('POST', '/org/requests', { name: 'more', preset: 'editor', justification: 'to work' },
    { token: asker.auth_token })).id;
  return { ws, ch, wst, tok, req };
}

/** Those that are attacked with everything there is. */
export function mainTargets({ ws, tok }) {
  return [
    { method: 'POST', path: '/org/tokens', form: { name: 'evil', preset: 'admin' }, json: { preset: 'admin', name: 'evil' } },
    { method: 'GET', path: `/workspaces/${ws}/secrets/values` },
    { method: 'POST', path: `/canvas/keys/${tok}/revoke`, form: { name: 'victim', reason: 'evil' } },
    { method: 'POST', path: `/canvas/workspaces/${ws}/secrets`, form: { key: 'EVIL', value: 'evil' } },
  ];
}

/** Bodies that would do something, where `{}` would not. */
const BODIES = {
  'POST /org/tokens': { preset: 'admin', name: 'evil' },
  'POST /org/tokens/suspend': { created_by: 'admin-token', reason: 'evil' },
  'POST /org/tokens/resume': { created_by: 'admin-token', reason: 'evil' },
  'PATCH /org/tokens/{id}': { name: 'evil' },
  'POST /org/requests': { preset: 'admin', name: 'evil', justification: 'evil' },
  'POST /workspaces': { name: 'evil' },
  'PATCH /workspaces/{id}': { name: 'evil' },
  'POST /workspaces/{id}/channels': { type: 'webhook', config: { url: 'https://evil.test/' }, name: 'evil' },
  'PATCH /workspaces/{id}/channels/{cid}': { name: 'evil' },
  'POST /workspaces/{id}/secrets': { key: 'EVIL', value: 'evil' },
  'PUT /workspaces/{id}/secrets': { key: 'EVIL', value: 'evil' },
};

/** Every route that changes something, from the description of the API. */
export async function apiTargets(server, ids) {
  const { paths } = await server.api('GET', '/openapi.json');
  return Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods)
    .map((method) => method.toUpperCase())
    .filter((method) => ['POST', 'PUT', 'PATCH', 'DELETE'].includes(method))
    .map((method) => {
      const json = BODIES[`${method} ${path}`] ?? {};
      return { method, path: filled(path, ids), json, form: json };
    }));
}

function filled(path, { ws, ch, wst, tok, req }) {
  const id = { workspaces: ws, tokens: tok, keys: tok, security: tok, requests: req, members: 'local-admin' };
  return path
    .replace(/\/([a-z]+)\/\{id\}/, (_, kind) => `/${kind}/${id[kind] ?? 'victim'}`)
    .replace('{cid}', ch).replace('{tid}', wst).replace('{key}', 'DB_PASSWORD')
    .replaceAll(/\{[a-z_]+\}/g, 'victim');
}

/** The routes of the pages, as the tests of the service keep them: none can be left out there. */
const PAGES = new URL('../../crates/server/tests/golden/pages.txt', import.meta.url);

/** The paths of the pages, or of the forms: as the service knows them, with `{id}` and the like. */
export async function pageRoutes(method) {
  const routes = await readFile(PAGES, 'utf8');
  return [...routes.matchAll(new RegExp(`^${method} (/canvas\\S*)`, 'gm'))].map(([, path]) => path);
}

/** What the forms of the Canvas want, all in one: a form takes what it knows. */
const FIELDS = {
  name: 'victim', confirm: 'victim', reason: 'evil', note: 'evil', preset: 'admin', permissions: 'org:admin',
  ends: '90d', count: '1', expires_in: '1h', overlap: 'now', do: 'revoke', what: 'revoke', labels: 'evil=1', key: 'DB_PASSWORD',
  value: 'evil', enabled: 'no', 'require_expiry': 'on', token: 'evil', once: 'evil',
};

/** Every form of the Canvas. */
export async function formTargets(ids) {
  return (await pageRoutes('POST')).map((path) => (
    { method: 'POST', path: filled(path, ids), form: { ...FIELDS, id: ids.tok }, json: {} }));
}
