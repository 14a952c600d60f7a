// What an attacker would like a signed-in admin's browser to do: every route of the API that changes
// something, and every form of the Canvas, against things that are there. The last text of `json` is
// one that may be anything: see `support/attacks.mjs`.

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
  const id = { workspaces: ws, tokens: tok, requests: req, members: 'local-admin' };
  return path
    .replace(/\/([a-z]+)\/\{id\}/, (_, kind) => `/${kind}/${id[kind] ?? 'victim'}`)
    .replace('{cid}', ch).replace('{tid}', wst).replace('{key}', 'DB_PASSWORD')
    .replaceAll(/\{[a-z_]+\}/g, 'victim');
}

const PAGES_MAX = 150;

/** Every form that posts on any page of the Canvas: found by walking it, as somebody who is signed in. */
export async function formTargets(page, home, ids) {
  await page.goto(`${home}/canvas/account`);
  const forms = [...await page.evaluate(walk, PAGES_MAX), ...elsewhere(ids)];
  return forms.map(({ path, form }) => ({ method: 'POST', path, form, json: form }));
}

/** Forms that no page shows to this person at this moment. */
function elsewhere({ tok, req }) {
  const forms = {
    '/canvas/first-run': { name: 'evil', preset: 'admin', ends: '90d', once: 'evil' },
    '/canvas/sign-in': { token: 'evil' },
    '/canvas/link': { token: 'evil' },
    '/canvas/keys/selected': { id: tok, do: 'revoke', reason: 'evil' },
    [`/canvas/keys/${tok}/resume`]: {},
    [`/canvas/keys/${tok}/rotate/finish`]: {},
    [`/canvas/keys/${tok}/rotate/cancel`]: {},
    [`/canvas/requests/${req}/withdraw`]: {},
    [`/canvas/requests/${req}/collect`]: {},
    '/canvas/members/local-admin/suspend': { reason: 'evil' },
    '/canvas/members/local-admin/restore': {},
    '/canvas/members/local-admin/remove': { what: 'revoke', reason: 'evil' },
    '/canvas/members/local-admin/sessions/end': {},
    '/canvas/account/sessions/others/end': {},
  };
  return Object.entries(forms).map(([path, form]) => ({ path, form }));
}

/** Runs in a page. Of pages, and of forms, that differ by an id alone, it looks at two. */
async function walk(most) {
  const shape = (path) => path.replaceAll(/(ses|ws|tok|req|ch|wst|evt)_[0-9A-Z]{26}/g, '{id}').replaceAll(/\/\d+/g, '/{n}');
  const seen = new Map();
  const isNew = (kind, path) => {
    const name = `${kind} ${shape(path.split('?')[0])}${path.includes('?') ? '?' : ''}`;
    seen.set(name, (seen.get(name) ?? 0) + 1);
    return seen.get(name) <= 2;
  };
  const queue = ['/canvas/keys', '/canvas/keys?status=all'];
  const done = new Set(queue);
  const forms = [];
  for (let count = 0; queue.length > 0 && count < most; count += 1) {
    const answer = await fetch(queue.shift());
    const document = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const link of document.querySelectorAll('a[href^="/canvas"]')) {
      const path = link.getAttribute('href');
      if (done.has(path) || !isNew('page', path)) continue;
      done.add(path);
      queue.push(path);
    }
    const buttons = [...document.querySelectorAll('form button')];
    for (const button of buttons) {
      const owner = button.closest('form');
      if ((button.getAttribute('formmethod') ?? owner.getAttribute('method')) !== 'post') continue;
      const path = (button.getAttribute('formaction') || owner.getAttribute('action') || new URL(answer.url).pathname).split('#')[0];
      if (!isNew('form', path + (button.value ? `/${button.name}` : ''))) continue;
      const fields = [...new FormData(owner)].map(([name, value]) => [name, value || 'evil']);
      for (const choice of owner.querySelectorAll('input[type=radio], input[type=checkbox]')) {
        if (!fields.some(([name]) => name === choice.name)) fields.push([choice.name, choice.value]);
      }
      if (button.name) fields.push([button.name, button.value]);
      forms.push({ path, form: Object.fromEntries(fields) });
    }
  }
  return forms;
}
