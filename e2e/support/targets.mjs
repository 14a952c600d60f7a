// What an attacker would like a signed-in admin's browser to do. The last text of `json` is one that
// may be anything: see `support/attacks.mjs`.

/** What is there to be attacked: made by a key that may do everything. */
export async function furnish(server) {
  const workspace = await server.api('POST', '/workspaces', { name: 'victim' });
  const at = `/workspaces/${workspace.id}`;
  await server.api('PUT', `${at}/secrets`, { key: 'DB_PASSWORD', value: 'hunter2' });
  const key = await server.api('POST', '/org/tokens', { name: 'victim', preset: 'reader' });
  const asker = await server.api('POST', '/org/tokens', { name: 'asker', preset: 'reader' });
  const request = await server.api('POST', '/org/requests', { name: 'more', preset: 'editor', justification: 'to work' },
    { token: asker.auth_token });
  return { workspace: workspace.id, key: key.id, request: request.id };
}

/** Routes of the JSON API. */
export function jsonTargets({ workspace, key, request }) {
  const at = `/workspaces/${workspace}`;
  return [
    { method: 'POST', path: '/org/tokens', form: { name: 'evil', preset: 'admin' }, json: { preset: 'admin', name: 'evil' } },
    { method: 'GET', path: '/org/tokens' },
    { method: 'DELETE', path: `/org/tokens/${key}` },
    { method: 'PATCH', path: `/org/tokens/${key}`, form: { name: 'evil' }, json: { name: 'evil' } },
    { method: 'POST', path: `/org/tokens/${key}/rotate`, json: { overlap: '0' } },
    { method: 'POST', path: `/org/tokens/${key}/suspend`, json: { reason: 'evil' } },
    { method: 'POST', path: '/org/tokens/suspend', json: { created_by: 'admin-token', reason: 'evil' } },
    { method: 'POST', path: `/org/requests/${request}/approve`, json: { note: 'evil' } },
    { method: 'PUT', path: '/org/policy', json: {} },
    { method: 'GET', path: `${at}/secrets/values` },
    { method: 'PUT', path: `${at}/secrets`, form: { key: 'EVIL', value: 'evil' }, json: { key: 'EVIL', value: 'evil' } },
    { method: 'DELETE', path: `${at}/secrets/DB_PASSWORD` },
    { method: 'DELETE', path: at },
    { method: 'GET', path: '/org/audit/export' },
  ];
}
