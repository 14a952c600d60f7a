// The same pages for those who may less, for whoever is not signed in any more, and where nothing is yet.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { SCRIPTED_VIEWS } from '../support/browser.mjs';
import { seen, startDesk } from '../support/desk.mjs';
import { furnishOrg } from '../support/org.mjs';
import { atProvider, byAdminToken, byProvider } from '../support/people.mjs';
import { startProvider } from '../support/provider.mjs';
import { startServer } from '../support/server.mjs';
import { visit } from '../support/visit.mjs';

const [PHONE] = SCRIPTED_VIEWS;

describe('the pages about keys', () => {
  let provider;
  let desk;

  before(async () => {
    // Another site than ours, as a provider is.
    provider = await startProvider(['--host', 'localhost']);
    desk = await startDesk({
      server: { isPublic: true, environment: provider.environment },
      furnish: async (server) => {
        await provider.serves(server.url, { callback: '/canvas/sign-in/callback', afterSignOut: '/canvas/sign-in' });
        return furnishOrg(server);
      },
      signIn: (browser, server) => byProvider(browser, server, 'reader'),
    });
  });
  after(async () => {
    await desk?.stop();
    await provider?.stop();
  });

  const of = (name, rest = '') => `/canvas/keys/${desk.org.keys[name].id}${rest}`;

  describe('for a reader', () => {
    it('offer nothing that would be refused', () => desk.at('/canvas/keys', async (page) => {
      await seen(page.getByRole('link', { name: 'nightly-report' }));
      assert.equal(await page.getByRole('link', { name: 'Mint a key' }).count(), 0);
      assert.equal(await page.getByRole('checkbox', { name: /^Select/ }).count(), 0);
      assert.equal(await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Members' }).count(), 0);
      await page.getByRole('link', { name: 'nightly-report' }).click();
      await seen(page.getByRole('heading', { level: 1, name: /^nightly-report/ }));
      for (const name of ['Edit', 'Rotate', 'Suspend', 'Revoke']) {
        assert.equal(await page.getByRole('main').getByRole('link', { name, exact: true }).count(), 0, name);
      }
      await page.goto(`${desk.server.url}/canvas/security`);
      await seen(page.getByText('Looked at', { exact: false }));
      for (const name of [/^Set an end/, /^Narrow/, /^Suspend/, /^Revoke/]) {
        assert.equal(await page.getByRole('main').getByRole('link', { name }).count(), 0, String(name));
      }
      await page.goto(`${desk.server.url}/canvas/policy`);
      await seen(page.getByText('You may read the policy.', { exact: false }));
      assert.equal(await page.getByRole('button', { name: 'Preview' }).count(), 0);
    }));

    const forbidden = [
      ['the mint', () => '/canvas/keys/new', 'org.tokens:mint'],
      ['the end of a key', () => of('ci-deploy', '/revoke'), 'org.tokens:revoke'],
      ['the change of a key', () => of('ci-deploy', '/edit'), 'org.tokens:mint'],
      ['the rotation of a key', () => of('ci-deploy', '/rotate'), 'org.tokens:mint'],
    ];
    for (const [name, path, permission] of forbidden) {
      it(`say of ${name} what is missing`, () => visit(desk.browser, desk.server.url + path(), {
        storageState: desk.storageState,
        view: PHONE,
        except: [/403/],
        use: async (page) => {
          await seen(page.getByRole('heading', { level: 1, name: 'You may not do this' }));
          assert.ok((await page.getByRole('main').innerText()).includes(permission));
          await seen(page.getByRole('link', { name: 'Back to the Canvas' }));
        },
      }));
    }

    it('are not there for keys that are not', () => desk.at(of('ci-deploy').slice(0, -4) + 'AAAA', async (page) => {
      await seen(page.getByRole('heading', { level: 1, name: 'There is no such page' }));
    }, { except: [/404/] }));
  });

  describe('for somebody whose session has ended', () => {
    const endSessions = () => desk.server.api('DELETE', '/org/members/user_admin/sessions');

    /** Signs in as an admin, and gives what that browser keeps. */
    const signIn = () => byProvider(desk.browser, desk.server, 'admin');

    it('ask for a sign-in, and come back', async () => {
      await desk.at('/canvas/keys', async (page, { watched }) => {
        watched.expectOrigins(new URL(provider.issuer).origin);
        await endSessions();
        await page.getByRole('link', { name: 'nightly-report' }).click();
        await seen(page.getByText('Your session has ended.', { exact: false }));
        await page.getByRole('link', { name: /^Continue with/ }).click();
        // The provider knows the person still, or asks.
        const asked = page.getByRole('textbox', { name: 'Login' });
        const back = page.getByRole('heading', { level: 1, name: /^nightly-report/ });
        await asked.or(back).first().waitFor();
        if (await asked.count() > 0) await atProvider(page, 'admin');
        await seen(back);
      }, { storageState: await signIn() });
    });

    it('change nothing, and say so, when a form is sent', async () => {
      await desk.at(of('ci-deploy', '/suspend'), async (page) => {
        await endSessions();
        await page.getByRole('button', { name: 'Suspend' }).click();
        await seen(page.getByText('Your session has ended.', { exact: false }));
        assert.equal((await desk.call(desk.org.keys['ci-deploy'].auth_token)).status, 200);
      }, { storageState: await signIn() });
    });

    it('ask for a sign-in instead of opening a dialog', async () => {
      await desk.at(of('ci-deploy'), async (page) => {
        await endSessions();
        await page.getByRole('link', { name: 'Revoke' }).click();
        await seen(page.getByText('Your session has ended.', { exact: false }));
        assert.equal(await page.getByRole('dialog').count(), 0);
      }, { storageState: await signIn() });
    });
  });

  describe('of an org without a key', () => {
    let server;
    let storageState;

    before(async () => {
      server = await startServer({ adminToken: true });
      storageState = await byAdminToken(desk.browser, server);
    });
    after(() => server?.stop());

    const empty = [
      ['the list', '/canvas/keys', 'No key yet'],
      ['security', '/canvas/security', 'Nothing to do'],
      ['requests', '/canvas/requests', 'Nothing waits for a decision'],
      ['the trail', '/canvas/audit?status=5xx&until=2026-01-01T00:00', 'Nothing fits'],
      ['the preview of a policy', '/canvas/policy', 'Every key must have an end'],
    ];
    for (const [name, path, words] of empty) {
      it(`say in ${name} that nothing is there yet`, () => visit(desk.browser, server.url + path, {
        storageState,
        view: PHONE,
        use: (page) => seen(page.getByText(words).first()),
      }));
    }

    it('lead to the first key', async () => {
      await visit(desk.browser, `${server.url}/canvas/keys`, {
        storageState,
        use: async (page) => {
          await page.getByRole('main').getByRole('link', { name: /Mint the first key/ }).click();
          await seen(page.getByRole('heading', { level: 1, name: 'Mint a key' }));
        },
      });
    });
  });
});
