// An org as it looks after some weeks of use: workspaces, keys of every status, calls, requests.

const WORKSPACES = [
  { name: 'billing', labels: { agent: 'data-pipeline', region: 'eu' } },
  { name: 'research', labels: { agent: 'research', region: 'us' } },
  { name: 'support', labels: { agent: 'support', region: 'eu' } },
];

/** Gives `{workspaces, keys}`: ids by name, and the answers of the mints by name. */
export async function furnishOrg(server) {
  const workspaces = {};
  for (const workspace of WORKSPACES) {
    const { id } = await server.api('POST', '/workspaces', workspace);
    workspaces[workspace.name] = id;
    await server.api('PUT', `/workspaces/${id}/secrets`, { key: 'DB_PASSWORD', value: 'not shown' });
  }
  const keys = {};
  const mint = async (name, more, by) => {
    keys[name] = await server.api('POST', '/org/tokens', { name, ...more }, by && { token: keys[by].auth_token });
  };
  await mint('nightly-report', {
    permissions: ['workspaces:read', 'channels:read', 'channels:send', 'secrets:read', 'secrets:reveal'],
    workspaces: [workspaces.billing],
    expires_in: '90d',
    metadata: { owner: 'data-pipeline', team: 'data' },
  });
  await mint('ci-deploy', { preset: 'editor', expires_in: '365d', metadata: { team: 'platform' } });
  await mint('chat-agent', {
    permissions: ['channels:*', 'workspaces:read', 'org.tokens:read', 'org.tokens:mint'],
    workspaces: { labels: { region: 'eu' } },
    rate_limit: { per_minute: 600 },
    metadata: { owner: 'support', team: 'support' },
  });
  await mint('chat-agent-summary', { permissions: ['channels:read'], expires_in: '24h' }, 'chat-agent');
  await mint('warehouse-sync', { preset: 'reader', expires_in: '7d', metadata: { team: 'data' } });
  await mint('staging-bot', { preset: 'reader', expires_in: '90d' });
  await mint('old-importer', { preset: 'editor', expires_in: '90d' });
  await mint('partner-feed', { permissions: ['workspaces:read'], ip_allow: ['127.0.0.0/8'], expires_in: '30d' });
  const at = (name) => `/org/tokens/${keys[name].id}`;
  await server.api('POST', `${at('staging-bot')}/suspend`, { reason: 'staging is down' });
  await server.api('DELETE', `${at('old-importer')}?reason=replaced`);
  const { auth_token } = await server.api('POST', `${at('partner-feed')}/rotate`, { overlap: '24h' });
  keys['partner-feed'].new_token = auth_token;
  await callAround(server, { keys, workspaces });
  return { workspaces, keys };
}

/** Calls that are answered, and calls that are refused. */
async function callAround(server, { keys, workspaces: { billing, research } }) {
  const calls = [
    ['nightly-report', `/workspaces/${billing}`, 200],
    ['nightly-report', `/workspaces/${billing}/secrets`, 200],
    ['nightly-report', `/workspaces/${billing}/secrets/values`, 200],
    ['nightly-report', `/workspaces/${research}/channels`, 403],
    ['nightly-report', '/org/audit', 403],
    ['ci-deploy', '/workspaces', 200],
    ['ci-deploy', `/workspaces/${research}/channels`, 200],
    ['chat-agent', `/workspaces/${billing}/channels`, 200],
    ['chat-agent-summary', `/workspaces/${billing}/channels`, 200],
    ['partner-feed', '/workspaces', 200],
  ];
  for (const [name, path, status] of calls) {
    const answer = await server.ask('GET', path, undefined, { token: keys[name].auth_token });
    if (answer.status !== status) throw new Error(`${name} ${path}: ${answer.status}, not ${status}`);
  }
}
