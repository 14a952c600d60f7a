// Every page that there is, at both widths, light and dark. The list is that of the service's own tests,
// which no page can be left out of: a page that is new there is missing here until it is visited too.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { newContext } from '../support/browser.mjs';
import { seen, startDesk } from '../support/desk.mjs';
import { furnishOrg } from '../support/org.mjs';
import { atProvider, byAdminToken, byProvider } from '../support/people.mjs';
import { startProvider } from '../support/provider.mjs';
import { startServer } from '../support/server.mjs';
import { pageRoutes } from '../support/targets.mjs';
import { expectWellMade, tour } from '../support/visit.mjs';

const REFUSED = { except: [/40[0-9]/] };

/** What is visited of each page that people see who are signed in; `it` are ids of what there is. */
const INSIDE = {
  '/canvas': () => ['/canvas'],
  '/canvas/account': () => ['/canvas/account'],
  '/canvas/audit': ({ now }) => [
    `/canvas/audit?until=${now}`, '/canvas/audit?until=2020-01-01T00:00', ['/canvas/audit?status=9xx', REFUSED],
  ],
  '/canvas/audit/verify': () => ['/canvas/audit/verify', '/canvas/audit/verify?run=1'],
  '/canvas/audit/{seq}': () => ['/canvas/audit/3', ['/canvas/audit/999999', REFUSED]],
  '/canvas/first-run/{id}': ({ called, fresh }) => [`/canvas/first-run/${called}`, `/canvas/first-run/${fresh}`],
  '/canvas/keys': () => ['/canvas/keys', '/canvas/keys?status=all', '/canvas/keys?q=nothing-like-it'],
  '/canvas/keys/new': () => ['/canvas/keys/new'],
  '/canvas/keys/selected': ({ fresh, called }) => [
    `/canvas/keys/selected?do=revoke&id=${fresh}&id=${called}`, `/canvas/keys/selected?do=suspend&id=${fresh}&id=${called}`,
    ['/canvas/keys/selected', REFUSED],
  ],
  '/canvas/keys/{id}': ({ called, fresh, child, suspended, rotating, revoked }) => [
    ...['', '?tab=access', '?tab=activity', '?tab=refused', '?tab=changes', '?tab=advice'].map((tab) => `/canvas/keys/${called}${tab}`),
    ...[fresh, suspended, rotating, revoked].map((id) => `/canvas/keys/${id}`), `/canvas/keys/${child}?tab=access`,
  ],
  '/canvas/keys/{id}/blast-radius': ({ called, revoked }) => [called, revoked].map((id) => `/canvas/keys/${id}/blast-radius`),
  '/canvas/keys/{id}/edit': ({ called }) => [`/canvas/keys/${called}/edit`],
  '/canvas/keys/{id}/resume': ({ suspended }) => [`/canvas/keys/${suspended}/resume`],
  '/canvas/keys/{id}/revoke': ({ parent }) => [`/canvas/keys/${parent}/revoke`],
  '/canvas/keys/{id}/rotate': ({ called, rotating }) => [called, rotating].map((id) => `/canvas/keys/${id}/rotate`),
  '/canvas/keys/{id}/suspend': ({ parent }) => [`/canvas/keys/${parent}/suspend`],
  '/canvas/members': () => ['/canvas/members'],
  '/canvas/members/{id}': () => ['/canvas/members/user_reader', '/canvas/members/user_admin'],
  '/canvas/members/{id}/remove': () => ['/canvas/members/user_reader/remove'],
  '/canvas/members/{id}/suspend': () => ['/canvas/members/user_reader/suspend'],
  '/canvas/policy': () => ['/canvas/policy'],
  '/canvas/requests': () => ['', '?show=approved', '?show=closed', '?show=own'].map((tab) => `/canvas/requests${tab}`),
  '/canvas/requests/{id}': ({ requests }) => Object.values(requests).map((id) => `/canvas/requests/${id}`),
  '/canvas/security': () => ['', '?show=no_expiry', '?show=idle', '?show=admin_token', '?show=workspace_tokens']
    .map((card) => `/canvas/security${card}`),
  '/canvas/security/{id}/end': ({ parent }) => [`/canvas/security/${parent}/end`],
  '/canvas/security/{id}/narrow': ({ parent, called }) => [parent, called].map((id) => `/canvas/security/${id}/narrow`),
  '/canvas/security/{id}/revoke': ({ parent }) => [`/canvas/security/${parent}/revoke`],
  '/canvas/security/{id}/suspend': ({ parent }) => [`/canvas/security/${parent}/suspend`],
  '/canvas/workspaces': () => ['/canvas/workspaces', '/canvas/workspaces?q=nothing-like-it'],
  '/canvas/workspaces/new': () => ['/canvas/workspaces/new'],
  '/canvas/workspaces/{id}': ({ at, bare }) => [at, `/canvas/workspaces/${bare}`],
  '/canvas/workspaces/{id}/channels/new': ({ at }) => [`${at}/channels/new`, `${at}/channels/new?kind=telegram`],
  '/canvas/workspaces/{id}/channels/{cid}': ({ at, channel }) => [`${at}/channels/${channel}`],
  '/canvas/workspaces/{id}/channels/{cid}/remove': ({ at, channel }) => [`${at}/channels/${channel}/remove`],
  '/canvas/workspaces/{id}/delete': ({ at }) => [`${at}/delete`],
  '/canvas/workspaces/{id}/keys': ({ at }) => [`${at}/keys`],
  '/canvas/workspaces/{id}/secrets': ({ at, bare }) => [`${at}/secrets`, `/canvas/workspaces/${bare}/secrets`],
  '/canvas/workspaces/{id}/secrets/values': ({ at }) => [`${at}/secrets/values`],
  '/canvas/workspaces/{id}/secrets/{key}/delete': ({ at }) => [`${at}/secrets/DB_PASSWORD/delete`],
  '/canvas/workspaces/{id}/settings': ({ at }) => [`${at}/settings`],
  '/canvas/workspaces/{id}/tokens': ({ at, bare }) => [`${at}/tokens`, `/canvas/workspaces/${bare}/tokens`],
  '/canvas/workspaces/{id}/tokens/{tid}/replace': ({ at, token }) => [`${at}/tokens/${token}/replace`],
  '/canvas/workspaces/{id}/tokens/{tid}/revoke': ({ at, token }) => [`${at}/tokens/${token}/revoke`],
};

/** The pages for whoever is not signed in, where an identity provider is set. */
const OUTSIDE = {
  '/canvas/sign-in': ['/canvas/sign-in', '/canvas/sign-in?reason=session_ended&next=%2Fcanvas%2Faudit',
    '/canvas/sign-in?reason=person_suspended'],
  '/canvas/sign-in/callback': [
    ['/canvas/sign-in/callback', REFUSED], ['/canvas/sign-in/callback?state=unknown&code=unknown', REFUSED],
    ['/canvas/sign-in/callback?error=access_denied', REFUSED],
  ],
};

/** The pages that the newcomer sees, whose server knows no provider; some are for nobody. */
const NEW = {
  '/canvas/first-run': ['/canvas/first-run'],
  '/canvas/keys': ['/canvas/keys'],
  '/canvas/workspaces': ['/canvas/workspaces'],
};
const NEW_OUTSIDE = {
  '/canvas/link': ['/canvas/link'],
  '/canvas/sign-in': ['/canvas/sign-in', '/canvas/sign-in?reason=person_suspended'],
  '/canvas/sign-in/provider': [['/canvas/sign-in/provider', REFUSED]],
};

/** Forms with something wrong in them: the page that comes back says so. */
const FORMS = ({ parent, called, at, token, requests }) => [
  ['/canvas/keys/new', { step: 'mint', name: '', access: 'restricted', where: 'ids' }],
  [`/canvas/keys/${called}/edit`, { name: '', tags: 'no pair', access: 'restricted', where: 'all' }],
  [`/canvas/keys/${parent}/revoke`, { name: 'wrong' }],
  ['/canvas/keys/selected', { do: 'revoke', id: [parent, called], count: '9' }],
  ['/canvas/keys/selected', { do: 'revoke', id: parent, count: '9', name: 'wrong' }],
  [`/canvas/security/${parent}/end`, { expires_in: 'soon' }],
  [`/canvas/security/${parent}/suspend`, { reason: 'x'.repeat(501) }],
  ['/canvas/policy', { do: 'preview', lifetime_max: 'for long' }],
  [`/canvas/requests/${requests.open}/approve`, { permissions: 'channels:read', ip_allow: 'nowhere' }],
  ['/canvas/workspaces', { name: '' }],
  [`${at}/settings`, { name: '', labels: 'no pair' }],
  [`${at}/delete`, { name: 'wrong' }],
  [`${at}/secrets`, { key: 'not a name', value: 'x' }],
  [`${at}/channels`, { type: 'webhook', name: '', url: 'nowhere' }],
  [`${at}/tokens/${token}/replace`, { name: '' }],
  ['/canvas/members/user_reader/remove', { what: '' }],
  ['/canvas/members/user_reader/suspend', { reason: 'x'.repeat(501) }],
];

describe('every page', () => {
  let provider;
  let desk;
  let newcomer;
  let things;

  before(async () => {
    provider = await startProvider(['--host', 'localhost']);
    [desk, newcomer] = await Promise.all([
      startDesk({
        server: { isPublic: true, environment: provider.environment },
        furnish: async (server) => {
          await provider.serves(server.url, { callback: '/canvas/sign-in/callback', afterSignOut: '/canvas/sign-in' });
          return furnishOrg(server);
        },
        signIn: (browser, server) => byProvider(browser, server, 'admin'),
      }),
      startServer({ adminToken: true }),
    ]);
    await byProvider(desk.browser, desk.server, 'reader');
    things = await furnishMore(desk);
    await desk.at('/canvas/security', (page) => seen(page.getByText('Looked at', { exact: false })));
  });
  after(async () => {
    await desk?.stop();
    await newcomer?.stop();
    await provider?.stop();
  });

  it('is on the list', async () => {
    const visited = new Set([INSIDE, OUTSIDE, NEW, NEW_OUTSIDE].flatMap(Object.keys));
    const routes = await pageRoutes('GET');
    assert.ok(routes.length > 40, `${routes.length} pages`);
    assert.deepEqual(routes.filter((route) => !visited.has(route)), [], 'these pages are visited by nobody');
    assert.deepEqual([...visited].filter((route) => !routes.includes(route)), [], 'these pages are gone');
  });

  for (const width of ['phone', 'wide']) {
    const words = width === 'phone' ? 'on a phone' : 'on a wide screen';
    it(`is well made inside, ${words}`, () => tour(desk.browser, desk.server,
      Object.values(INSIDE).flatMap((paths) => paths(things)), { widths: [width], storageState: desk.storageState }));

    it(`is well made outside, ${words}`, () => tour(desk.browser, desk.server,
      Object.values(OUTSIDE).flat(), { widths: [width] }));

    it(`is well made for a newcomer, ${words}`, async () => {
      await tour(desk.browser, newcomer, Object.values(NEW_OUTSIDE).flat(), { widths: [width] });
      const storageState = await byAdminToken(desk.browser, newcomer);
      await tour(desk.browser, newcomer, Object.values(NEW).flat(), { widths: [width], storageState });
    });
  }

  it('is well made where a form comes back with what is wrong in it', () => desk.at('/canvas/account', async (page, { watched }) => {
    const wrong = [];
    for (const [path, fields] of FORMS(things)) {
      await page.goto(`${desk.server.url}/canvas/account`);
      const answer = await sendForm(page, path, fields);
      const said = page.locator('[role=alert], .notice.bad, .error, [aria-invalid=true]').filter({ visible: true });
      if (answer.status() < 400 || answer.status() >= 500) wrong.push(`${path}: ${answer.status()}`);
      if (await said.count() === 0) wrong.push(`${path} does not say what is wrong`);
      await expectWellMade(page).catch((error) => wrong.push(`${path}: ${error.message}`));
      watched.forget();
    }
    assert.deepEqual(wrong, []);
  }));

  for (const login of ['nobody', 'stranger']) {
    it(`is well made where ${login} comes back from the provider and is refused`, async () => {
      const context = await newContext(desk.browser);
      const page = await context.newPage();
      await page.goto(`${desk.server.url}/canvas/sign-in`);
      await page.getByRole('link', { name: /^Continue with / }).click();
      await atProvider(page, login);
      await page.waitForURL(/sign-in\/callback/);
      await expectWellMade(page);
      await context.close();
    });
  }
});

/** Sends a form as one of our own pages would; gives the answer. */
async function sendForm(page, path, fields) {
  const answered = page.waitForResponse((response) => response.request().isNavigationRequest() && response.request().method() === 'POST');
  const loaded = page.waitForEvent('load');
  await page.evaluate(({ action, values }) => {
    const form = document.createElement('form');
    form.method = 'post';
    form.action = action;
    for (const [name, value] of Object.entries(values).flatMap(([key, all]) => [all].flat().map((one) => [key, one]))) {
      const field = document.createElement('input');
      [field.type, field.name, field.value] = ['hidden', name, value];
      form.append(field);
    }
    document.body.append(form);
    form.submit();
  }, { action: path, values: fields });
  await loaded;
  return answered;
}

/** What the pages want beside what `furnishOrg` made; gives the ids. */
async function furnishMore({ server, org: { keys, workspaces } }) {
  const at = `/workspaces/${workspaces.billing}`;
  const channel = await server.api('POST', `${at}/channels`,
    { type: 'webhook', name: 'alerts', config: { url: 'https://127.0.0.1:9/hook' } });
  const token = await server.api('POST', `${at}/tokens`, {});
  const bare = await server.api('POST', '/workspaces', { name: 'bare' });
  const ask = async (name, more = {}) => (await server.api('POST', '/org/requests',
    { name, permissions: ['channels:read', 'secrets:reveal'], justification: `${name} needs it`, ...more },
    { token: keys['ci-deploy'].auth_token })).id;
  const requests = {
    open: await ask('open', { workspaces: [workspaces.billing] }),
    dated: await ask('dated', { expires_at: '2090-02-21T17:01:26.902Z', preset: 'admin', permissions: undefined }),
    approved: await ask('approved'),
    denied: await ask('denied'),
  };
  await server.api('POST', `/org/requests/${requests.approved}/approve`, { expires_in: '7d' });
  await server.api('POST', `/org/requests/${requests.denied}/deny`, { note: 'no' });
  const fresh = await server.api('POST', '/org/tokens', { name: 'fresh' });
  return {
    now: new Date().toISOString(),
    at: `/canvas${at}`,
    bare: bare.id,
    channel: channel.id,
    token: token.id,
    requests,
    fresh: fresh.id,
    called: keys['nightly-report'].id,
    parent: keys['chat-agent'].id,
    child: keys['chat-agent-summary'].id,
    suspended: keys['staging-bot'].id,
    rotating: keys['partner-feed'].id,
    revoked: keys['old-importer'].id,
  };
}
