// Workspaces: labels, channels, secrets, and the deprecated tokens.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { newContext, startBrowser } from '../support/browser.mjs';
import { back } from '../support/desk.mjs';
import { byAdminToken } from '../support/people.mjs';
import { startServer } from '../support/server.mjs';
import { shoot } from '../support/shots.mjs';
import { eventsAfter } from '../support/unchanged.mjs';
import { expectWellMade, tour } from '../support/visit.mjs';
import { watch } from '../support/watch.mjs';

const HUSH = 'hush-hush-0123456789';

describe('workspaces', () => {
  let browser;
  let server;
  let storageState;

  before(async () => {
    [browser, server] = await Promise.all([startBrowser({ keepsPages: true }), startServer({ adminToken: true })]);
    await server.firstKey();
    storageState = await byAdminToken(browser, server);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** Acts in a window of an admin, in which nothing may go wrong. */
  async function act(use, view = {}) {
    const context = await newContext(browser, { storageState, ...view });
    try {
      const page = await context.newPage();
      const watched = await watch(page);
      await use(page, watched);
      watched.expectNone();
    } finally {
      await context.close();
    }
  }

  const made = (name, labels = {}) => server.api('POST', '/workspaces', { name, labels });

  it('are made with labels, found, renamed, and deleted by their name', () => act(async (page, watched) => {
    await page.goto(`${server.url}/canvas/workspaces`);
    await page.getByRole('link', { name: 'Make the first workspace' }).click();
    await page.getByLabel('Name').fill('Orders & returns');
    await page.getByRole('textbox', { name: 'Labels' }).fill('agent');
    await page.getByRole('button', { name: 'Create workspace' }).click();
    await page.getByText('`agent` has no `=`').waitFor();
    assert.equal(await page.getByLabel('Name').inputValue(), 'Orders & returns');
    watched.forget();
    await page.getByRole('textbox', { name: 'Labels' }).fill('agent=orders\nenv=prod');
    await page.getByRole('button', { name: 'Create workspace' }).click();
    await page.getByRole('heading', { name: 'Orders & returns' }).waitFor();
    await page.getByText('env=prod').waitFor();

    await page.goto(`${server.url}/canvas/workspaces?q=prod`);
    await page.getByRole('link', { name: 'Orders & returns' }).waitFor();
    await page.goto(`${server.url}/canvas/workspaces?q=nowhere`);
    await page.getByRole('heading', { name: 'No workspace fits' }).waitFor();
    await page.getByRole('link', { name: 'Show every workspace' }).click();
    await page.getByRole('link', { name: 'Orders & returns' }).click();

    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByLabel('Name').fill('Orders');
    await page.getByRole('textbox', { name: 'Labels' }).fill('agent=orders');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { name: 'Orders', exact: true }).waitFor();
    assert.equal(await page.locator('.badges').getByText('env=prod').count(), 0);

    await page.getByRole('link', { name: 'Delete workspace' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Type Orders to delete it').fill('Orders');
    await dialog.getByRole('button', { name: 'Delete workspace' }).click();
    await page.getByRole('heading', { name: 'No workspace yet' }).waitFor();
  }));

  it('have channels: added, edited, disabled, enabled, removed, and never shown', () => act(async (page) => {
    const { id } = await made('with channels');
    const channels = async () => (await server.api('GET', `/workspaces/${id}/channels`)).channels;
    await page.goto(`${server.url}/canvas/workspaces/${id}`);
    await page.getByRole('link', { name: 'Add the first channel' }).click();
    await page.getByRole('navigation', { name: 'Kind of channel' }).getByRole('link', { name: /Slack bot/ }).click();
    await page.getByLabel('Name', { exact: true }).fill('Alerts');
    await page.getByLabel(/token/i).fill(`xoxb-${HUSH}`);
    await page.getByLabel('Conversation').fill('C1');
    await page.getByRole('button', { name: 'Add channel' }).click();
    await page.getByRole('link', { name: 'Alerts', exact: true }).waitFor();
    assert.equal((await channels())[0].enabled, true);
    assert.ok(!(await page.content()).includes(HUSH));

    await page.getByRole('link', { name: 'Alerts', exact: true }).click();
    assert.ok(!(await page.content()).includes(HUSH), 'what is sealed is not shown');
    await page.getByLabel('Name', { exact: true }).fill('Alarms');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('link', { name: 'Alarms', exact: true }).waitFor();
    for (const [word, isEnabled] of [['Disable', false], ['Enable', true]]) {
      await page.getByRole('button', { name: `${word} Alarms` }).click();
      await page.getByText(isEnabled ? 'Enabled' : 'Disabled', { exact: true }).waitFor();
      assert.equal((await channels())[0].enabled, isEnabled);
    }
    await page.getByRole('link', { name: 'Remove Alarms' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove channel' }).click();
    await page.getByRole('heading', { name: 'No channel yet' }).waitFor();
    assert.deepEqual(await channels(), []);
  }));

  it('have secrets: set, named, revealed with a record, and deleted', () => act(async (page, watched) => {
    const { id } = await made('with secrets');
    await page.goto(`${server.url}/canvas/workspaces/${id}`);
    await page.getByRole('link', { name: 'Secrets' }).click();
    await page.getByLabel('Name').fill('1 x');
    await page.getByLabel('Value').fill(HUSH);
    await page.getByRole('button', { name: 'Set secret' }).click();
    await page.getByText('May hold only').waitFor();
    assert.ok(!(await page.content()).includes(HUSH), 'a value is not sent back');
    watched.forget();
    await page.getByLabel('Name').fill('API_KEY');
    await page.getByLabel('Value').fill(HUSH);
    await page.getByRole('button', { name: 'Set secret' }).click();
    await page.getByRole('rowheader', { name: 'API_KEY' }).waitFor();
    assert.ok(!(await page.content()).includes(HUSH), 'names alone are shown');

    const { events: [{ seq }] } = await server.api('GET', '/org/audit?limit=1');
    await page.getByRole('button', { name: 'Reveal values' }).click();
    await page.locator('summary', { hasText: 'API_KEY' }).click();
    await page.getByText(HUSH).waitFor();
    await expectWellMade(page);
    const records = (await eventsAfter(server, seq)).filter(({ actor }) => actor === 'session:local-admin');
    assert.equal(records.length, 1, 'the trail keeps that they were seen');
    assert.match(records[0].path, /secrets\/values$/);
    await page.getByRole('link', { name: 'Hide again' }).click();
    await page.waitForURL(`**/canvas/workspaces/${id}/secrets`);
    assert.ok(!(await page.content()).includes(HUSH));
    watched.expectNone();
    await back(page);
    assert.ok(!(await page.content()).includes(HUSH), 'back does not bring them back');
    watched.forget();
  }));

  it('have secrets that are deleted without scripts', () => act(async (page) => {
    const { id } = await made('without scripts');
    await server.api('PUT', `/workspaces/${id}/secrets`, { key: 'OLD_KEY', value: HUSH });
    await page.goto(`${server.url}/canvas/workspaces/${id}/secrets`);
    await page.getByRole('link', { name: 'Delete OLD_KEY' }).click();
    await page.getByRole('button', { name: 'Delete secret' }).click();
    await page.getByRole('heading', { name: 'No secret yet' }).waitFor();
    const { secrets } = await server.api('GET', `/workspaces/${id}/secrets`);
    assert.deepEqual(secrets, []);
  }, { hasScripts: false, width: 'phone' }));

  it('have deprecated tokens, each replaced by an org key that may do no more', () => act(async (page) => {
    const { id } = await made('with tokens');
    const token = await server.api('POST', `/workspaces/${id}/tokens`, {});
    await page.goto(`${server.url}/canvas/workspaces/${id}/tokens`);
    await page.getByText('Workspace tokens are deprecated').waitFor();
    await page.getByRole('link', { name: `Replace by an org key ${token.prefix}` }).click();
    await page.getByLabel('Name of the key').fill('in its place');
    await page.getByRole('button', { name: 'Mint the key' }).click();
    const secret = await page.locator('.secret-value').innerText();
    await expectWellMade(page);
    const ask = (path, as) => server.ask('GET', path, undefined, { token: as });
    assert.equal((await ask(`/workspaces/${id}/secrets`, secret)).status, 200);
    const { id: other } = await made('another');
    assert.equal((await ask(`/workspaces/${other}/secrets`, secret)).status, 403);
    assert.equal((await ask(`/workspaces/${id}/secrets`, token.auth_token)).status, 200, 'the token goes on working');
    await page.getByRole('checkbox', { name: /I have saved the new key/ }).check();
    await page.getByRole('button', { name: 'Revoke the token' }).click();
    await page.getByRole('heading', { name: 'No token left' }).waitFor();
    assert.equal((await ask(`/workspaces/${id}/secrets`, token.auth_token)).status, 401);
    assert.ok(!(await page.content()).includes(secret));
  }));

  it('are right everywhere: full, empty, and while something is asked', async () => {
    const at = await furnished();
    const { id } = await made('an empty one');
    const empty = `/canvas/workspaces/${id}`;
    await tour(browser, server, [
      '/canvas/workspaces', '/canvas/workspaces?q=nowhere', '/canvas/workspaces/new',
      at.home, `${at.home}/channels/new`, `${at.home}/channels/new?kind=slack-bot`, `${at.home}/channels/${at.channel}`,
      `${at.home}/channels/${at.channel}/remove`, `${at.home}/secrets`, `${at.home}/secrets/API_KEY/delete`,
      `${at.home}/keys`, `${at.home}/tokens`, `${at.home}/tokens/${at.token}/replace`, `${at.home}/tokens/${at.token}/revoke`,
      `${at.home}/settings`, `${at.home}/delete`,
      empty, `${empty}/secrets`,
      ['/canvas/workspaces/ws_01J00000000000000000000000', { except: [/404/] }],
    ], { storageState });
  });

  /** A workspace with something of everything. */
  async function furnished() {
    const { id } = await made('data-pipeline', { agent: 'data-pipeline', env: 'prod' });
    const at = `/workspaces/${id}`;
    await server.api('POST', `${at}/channels`, { name: 'Alerts', type: 'slack', config: { bot_token: `xoxb-${HUSH}`, channel: 'C0123' } });
    const { channels: [channel] } = await server.api('GET', `${at}/channels`);
    for (const key of ['API_KEY', 'DATABASE_URL', 'WEBHOOK_SIGNING_SECRET']) await server.api('PUT', `${at}/secrets`, { key, value: HUSH });
    const token = await server.api('POST', `${at}/tokens`, {});
    await server.api('POST', '/org/tokens', { name: 'nightly import', preset: 'editor', workspaces: [id], expires_in: '30d' });
    await server.api('POST', '/org/tokens', { name: 'reports', preset: 'reader', workspaces: { labels: { env: 'prod' } }, expires_in: '7d' });
    await act(async (page) => {
      await page.goto(`${server.url}/canvas${at}/secrets`);
      await shoot(page, 'workspace');
    });
    return { home: `/canvas${at}`, channel: channel.id, token: token.id };
  }
});
