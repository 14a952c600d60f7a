// People: who has signed in, what each may do, and what becomes of whoever leaves.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { newContext, startBrowser } from '../support/browser.mjs';
import { atProvider, byProvider } from '../support/people.mjs';
import { startProvider } from '../support/provider.mjs';
import { startServer } from '../support/server.mjs';
import { shoot } from '../support/shots.mjs';
import { tour } from '../support/visit.mjs';
import { watch } from '../support/watch.mjs';

describe('members', () => {
  let browser;
  let provider;
  let server;
  /** Who is signed in, by login. */
  const people = {};

  before(async () => {
    [browser, provider] = await Promise.all([startBrowser(), startProvider(['--host', 'localhost'])]);
    server = await startServer({ isPublic: true, adminToken: true, environment: provider.environment });
    await server.firstKey();
    await provider.serves(server.url, { callback: '/canvas/sign-in/callback' });
    await provider.command('account', { login: 'second', claims: { sub: 'user_second', name: 'Sam Second', org: 'default', role: 'admin' } });
    for (const login of ['admin', 'editor', 'reader', 'second']) people[login] = await byProvider(browser, server, login);
  });
  after(async () => {
    await browser?.close();
    await Promise.all([server?.stop(), provider?.stop()]);
  });

  /** Acts in a window of somebody, in which nothing may go wrong but what `except` names. */
  async function as(login, act, except) {
    const context = await newContext(browser, { storageState: people[login] });
    try {
      const page = await context.newPage();
      const watched = await watch(page);
      await act(page);
      watched.expectNone({ except });
    } finally {
      await context.close();
    }
  }

  /** A key that somebody made in the browser, and its secret. */
  async function keyOf(login, name) {
    const context = await newContext(browser, { storageState: people[login] });
    try {
      const answer = await context.request.post(`${server.url}/org/tokens`, {
        data: { name, preset: 'reader' },
        headers: { 'sec-fetch-site': 'same-origin', origin: server.url },
      });
      assert.equal(answer.status(), 201, await answer.text());
      return await answer.json();
    } finally {
      await context.close();
    }
  }

  const statusOf = async (token) => (await server.ask('GET', '/org/whoami', undefined, { token })).status;

  /** Whether somebody who was signed in still is. */
  async function isIn(login) {
    const context = await newContext(browser, { storageState: people[login] });
    try {
      const page = await context.newPage();
      await page.goto(`${server.url}/canvas/account`);
      return new URL(page.url()).pathname === '/canvas/account';
    } finally {
      await context.close();
    }
  }

  async function expectNotLetIn(login) {
    const context = await newContext(browser, { width: 'phone' });
    const page = await context.newPage();
    await page.goto(`${server.url}/canvas/sign-in/provider`);
    await atProvider(page, login);
    await page.getByText(/suspended/).first().waitFor();
    await page.getByRole('link', { name: 'Go to sign-in' }).waitFor();
    assert.equal(await isIn(login), false);
    await context.close();
  }

  it('are listed with role, state, and the keys that they made', async () => {
    await keyOf('second', 'nightly');
    await as('admin', async (page) => {
      await page.goto(`${server.url}/canvas/members`);
      const row = (name) => page.getByRole('table', { name: 'Members' }).locator('tbody tr', { hasText: name });
      for (const [name, role] of [['Ada Admin', 'admin'], ['Edgar Editor', 'editor'], ['Rita Reader', 'reader'], ['Sam Second', 'admin']]) {
        await row(name).getByText(role, { exact: true }).waitFor();
        await row(name).getByText('Active').waitFor();
      }
      assert.equal(await page.getByText('you', { exact: true }).count(), 1);
      await shoot(page, 'members');
      await row('Sam Second').getByTitle('The keys that Sam Second made').click();
      await page.waitForURL(/\/canvas\/keys\?created_by=session%3Auser_second/);
      await page.getByRole('link', { name: 'nightly' }).waitFor();
      assert.equal(await page.getByRole('link', { name: 'harness' }).count(), 0);
    });
  });

  it('and their pages are right everywhere, also for somebody who may not see them', async () => {
    await tour(browser, server, [
      '/canvas/members', '/canvas/members/user_second', '/canvas/members/user_admin',
      '/canvas/members/user_second/suspend', '/canvas/members/user_second/remove',
      ['/canvas/members/nobody', { except: [/404/] }],
    ], { storageState: people.admin });
    const refused = { except: [/403/], use: expectRefusal };
    await tour(browser, server, [['/canvas/members', refused], '/canvas/workspaces', '/canvas/account'], { storageState: people.reader });
  });

  it('are opened and suspended whatever ids their provider gives them', async () => {
    for (const [login, sub] of [['piped', 'auth0|5f7c'], ['slashed', 'EXAMPLE\\a/b;c%2f']]) {
      await provider.command('account', { login, claims: { sub, name: `Odd ${login}`, org: 'default', role: 'reader' } });
      people[login] = await byProvider(browser, server, login);
      await as('admin', async (page) => {
        await page.goto(`${server.url}/canvas/members`);
        await page.getByRole('link', { name: `Odd ${login}` }).click();
        await page.getByRole('heading', { level: 1, name: `Odd ${login}` }).waitFor();
        await page.getByRole('link', { name: 'Suspend' }).click();
        await page.getByRole('dialog', { name: `Suspend Odd ${login}` }).getByRole('button', { name: 'Suspend' }).click();
        await page.getByText('Sessions have ended').waitFor();
      });
      assert.equal(await isIn(login), false);
    }
  });

  for (const hasScripts of [true, false]) {
    it(`are suspended and restored${hasScripts ? '' : ', without scripts'}`, async () => {
      const key = await keyOf('second', `key of ${hasScripts}`);
      const context = await newContext(browser, { hasScripts, width: 'phone', storageState: people.admin });
      const page = await context.newPage();
      const watched = await watch(page);
      await page.goto(`${server.url}/canvas/members/user_second`);
      await page.getByRole('link', { name: 'Suspend' }).click();
      const form = hasScripts ? page.getByRole('dialog', { name: 'Suspend Sam Second' }) : page.getByRole('main');
      await form.getByLabel('Reason').fill('on leave');
      assert.equal(await statusOf(key.auth_token), 200);
      await form.getByRole('button', { name: 'Suspend' }).click();
      await page.getByText('Suspended. Sessions have ended').waitFor();
      await page.getByText('on leave').waitFor();

      assert.equal(await statusOf(key.auth_token), 401, 'a key of a suspended person is refused');
      await expectNotLetIn('second');

      await page.getByRole('button', { name: 'Restore' }).click();
      await page.getByText('Restored. This person may sign in again.').waitFor();
      assert.equal(await statusOf(key.auth_token), 200);
      watched.expectNone();
      await context.close();
      people.second = await byProvider(browser, server, 'second');
    });
  }

  it('are signed out by somebody who may', async () => {
    await as('admin', async (page) => {
      await page.goto(`${server.url}/canvas/members/user_editor`);
      await page.getByRole('button', { name: 'End every session' }).click();
      await page.getByText('The sessions have ended.').waitFor();
      assert.equal(await isIn('editor'), false);
    });
    people.editor = await byProvider(browser, server, 'editor');
  });

  it('leave their keys to somebody else, or take them with them', async () => {
    const kept = await keyOf('second', 'to be kept');
    await as('admin', async (page) => {
      await page.goto(`${server.url}/canvas/members/user_second`);
      await page.getByRole('link', { name: 'Remove' }).click();
      await page.getByRole('radio', { name: 'Hand over to somebody' }).check();
      await page.getByLabel('Hand over to', { exact: true }).selectOption('user_admin');
      await page.getByLabel('Reason').fill('left the company');
      await page.getByRole('button', { name: 'Remove' }).click();
      await page.getByText('Removed. What this person made goes back to its heir').waitFor();
      assert.equal(await statusOf(kept.auth_token), 200, 'it goes on working');
      assert.equal(await isIn('second'), false);

      await page.getByRole('button', { name: 'Restore' }).click();
      await page.getByText('Restored.').waitFor();
      people.second = await byProvider(browser, server, 'second');
      const taken = await keyOf('second', 'to be revoked');
      await page.goto(`${server.url}/canvas/members/user_second/remove`);
      await page.getByRole('radio', { name: 'Revoke what they made' }).check();
      await page.getByRole('button', { name: 'Remove' }).click();
      await page.getByText('Removed. What this person made is revoked').waitFor();
      assert.equal(await statusOf(taken.auth_token), 401);
      assert.equal(await statusOf(kept.auth_token), 200);
      assert.equal(await isIn('second'), false);
    });
  });

  it('may do what their role says, and see nothing that leads further', () => as('reader', async (page) => {
    const { id } = await server.api('POST', '/workspaces', { name: 'to be read' });
    await server.api('PUT', `/workspaces/${id}/secrets`, { key: 'API_KEY', value: 'hush-hush' });
    const expectNoForms = () => page.locator('main form[method=post]').count().then((count) => assert.equal(count, 0, page.url()));
    for (const path of ['/canvas/workspaces', `/canvas/workspaces/${id}`, `/canvas/workspaces/${id}/secrets`, '/canvas/keys', '/canvas/audit']) {
      const answer = await page.goto(server.url + path);
      assert.equal(answer.status(), 200, path);
      await expectNoForms();
      assert.equal(await page.getByRole('link', { name: /^(New workspace|Mint a key|Add a channel|Delete)/ }).count(), 0, path);
    }
    const places = await page.getByRole('navigation', { name: 'Main' }).getByRole('link').allInnerTexts();
    assert.deepEqual(places.filter((it) => /Members/.test(it)), []);
    for (const path of ['/canvas/keys/new', '/canvas/members', `/canvas/workspaces/${id}/delete`]) {
      const answer = await page.goto(server.url + path);
      assert.equal(answer.status(), 403, path);
      await expectRefusal(page);
    }
  }, [/403/]));
});

async function expectRefusal(page) {
  await page.getByRole('heading', { name: 'You may not do this' }).waitFor();
  await page.getByRole('link', { name: 'Back to the Canvas' }).waitFor();
}
