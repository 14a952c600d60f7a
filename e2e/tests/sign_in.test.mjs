// Signing in and out: at a provider that is not ours, with ADMIN_TOKEN, and when a session has ended.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { newContext, SCRIPTED_VIEWS, startBrowser, VIEWS } from '../support/browser.mjs';
import { atProvider, byAdminToken, byLinkTyped, byProvider } from '../support/people.mjs';
import { startProvider } from '../support/provider.mjs';
import { ADMIN_TOKEN, startServer } from '../support/server.mjs';
import { shoot } from '../support/shots.mjs';
import { expectWellMade, tour, visit } from '../support/visit.mjs';
import { watch } from '../support/watch.mjs';

const CALLBACK = '/canvas/sign-in/callback';
const AFTER_SIGN_OUT = '/canvas/sign-in?reason=signed_out';

/** What the Canvas has for everybody, and what only some roles have. */
const EVERYWHERE = ['Keys', 'Workspaces', 'Audit', 'Account'];

describe('signing in at the provider', () => {
  let browser;
  let provider;
  let server;

  before(async () => {
    // Another site than Claviger, as a provider is.
    [browser, provider] = await Promise.all([startBrowser(), startProvider(['--host', 'localhost'])]);
    server = await startServer({ isPublic: true, environment: provider.environment });
    await provider.serves(server.url, { callback: CALLBACK, afterSignOut: AFTER_SIGN_OUT, backchannel: '/oidc/back-channel-logout' });
  });
  after(async () => {
    await browser?.close();
    await Promise.all([server?.stop(), provider?.stop()]);
  });

  /** A window in which nobody is signed in, and which knows the provider. */
  async function open(view) {
    const context = await newContext(browser, view);
    const page = await context.newPage();
    const watched = await watch(page);
    watched.expectOrigins(provider.issuer);
    return { context, page, watched };
  }

  for (const view of SCRIPTED_VIEWS) {
    it(`is one click, and comes back to where one was, at ${view.name}`, async () => {
      const { context, page, watched } = await open(view);
      await page.goto(`${server.url}/canvas/workspaces?q=east`);
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      if (view.width === 'wide' && view.colorScheme === 'light') await shoot(page, 'sign-in');
      await page.getByRole('link', { name: 'Continue with your identity provider' }).click();
      await atProvider(page, 'admin');
      await page.waitForURL(`${server.url}/canvas/workspaces?q=east`);
      watched.expectNone();
      await context.close();
    });
  }

  it('gives each role what it has, and nothing more', async () => {
    for (const [login, name] of [['admin', 'Ada Admin'], ['editor', 'Edgar Editor'], ['reader', 'Rita Reader']]) {
      const storageState = await byProvider(browser, server, login);
      await visit(browser, `${server.url}/canvas/account`, {
        storageState,
        use: async (page) => {
          await page.getByRole('main').getByText(name).waitFor();
          const role = page.locator('dt', { hasText: /^Role$/ }).locator('xpath=following-sibling::dd');
          assert.equal(await role.innerText(), login);
          const places = await page.getByRole('navigation', { name: 'Main' }).getByRole('link').allInnerTexts();
          for (const place of EVERYWHERE) assert.ok(places.some((it) => it.includes(place)), `${login}: ${place} in ${places}`);
        },
      });
      await visit(browser, `${server.url}/canvas/workspaces/new`, {
        storageState,
        except: login === 'reader' ? [/403/] : [],
        use: async (page) => {
          const wanted = login === 'reader' ? 'You may not do this' : 'New workspace';
          await page.getByRole('heading', { name: wanted }).waitFor();
        },
      });
    }
  });

  for (const [login, words] of [['nobody', 'role'], ['stranger', 'org']]) {
    it(`lets ${login} not in, and says why`, async () => {
      const { context, page, watched } = await open();
      await page.goto(`${server.url}/canvas/sign-in`);
      await page.getByRole('link', { name: /^Continue with / }).click();
      await atProvider(page, login);
      await page.getByRole('heading', { name: 'You may not do this' }).waitFor();
      assert.match(await page.locator('main').innerText(), new RegExp(words));
      await page.getByRole('link', { name: 'Go to sign-in' }).waitFor();
      const cookies = await context.cookies(server.url);
      assert.deepEqual(cookies.filter(({ name }) => /session/.test(name)), []);
      watched.expectNone({ except: [/403/] });
      await context.close();
    });
  }

  it('says so when somebody changes their mind there', async () => {
    const { context, page } = await open();
    await page.goto(`${server.url}/canvas/sign-in`);
    await page.getByRole('link', { name: /^Continue with / }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('link', { name: 'Go to sign-in' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await context.close();
  });

  for (const hasScripts of [true, false]) {
    it(`and out: here and there${hasScripts ? '' : ', without scripts'}`, async () => {
      const { context, page, watched } = await open({ hasScripts });
      await page.goto(`${server.url}/canvas/sign-in`);
      await page.getByRole('link', { name: /^Continue with / }).click();
      await atProvider(page, 'editor');
      await page.waitForURL(`${server.url}/canvas/**`);
      const { cookies } = await context.storageState();
      await page.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('heading', { name: 'Sign out of the test provider' }).waitFor();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.waitForURL(server.url + AFTER_SIGN_OUT);
      await page.getByText('You are signed out.').waitFor();
      watched.expectNone();

      // Neither what the browser had, nor the session at the provider, signs anybody in.
      await page.getByRole('link', { name: /^Continue with / }).click();
      await page.getByRole('textbox', { name: 'Login' }).waitFor();
      await context.clearCookies();
      await context.addCookies(cookies.filter(({ domain }) => domain === '127.0.0.1'));
      await page.goto(`${server.url}/canvas/account`);
      await page.getByText('Your session has ended.').waitFor();
      await context.close();
    });
  }

  it('says that one is out before it leads to the provider', async () => {
    const context = await newContext(browser, { storageState: await byProvider(browser, server, 'editor') });
    const page = await context.newPage();
    await page.goto(`${server.url}/canvas/account`);
    // The way there is closed, and the page stays.
    const gone = page.waitForEvent('requestfailed');
    await page.route((url) => url.href.startsWith(provider.issuer), (route) => route.abort('aborted'));
    await page.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'You are signed out here' }).waitFor();
    assert.ok((await gone).url().startsWith(provider.issuer));
    await expectWellMade(page);
    await page.goto(`${server.url}/canvas/account`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await context.close();
  });

  it('ends on the next request when the provider says so over the back channel', async () => {
    const { context, page, watched } = await open();
    await page.goto(`${server.url}/canvas/sign-in`);
    await page.getByRole('link', { name: /^Continue with / }).click();
    await atProvider(page, 'reader');
    await page.waitForURL(`${server.url}/canvas/**`);
    await page.goto(`${server.url}/canvas/account`);
    const { ended } = await provider.command('end-session', { login: 'reader' });
    assert.ok(ended.length > 0 && ended.every(({ told }) => told === true), JSON.stringify(ended));
    await page.reload();
    await page.getByText('Your session has ended.').waitFor();
    await page.getByRole('link', { name: /^Continue with / }).click();
    await atProvider(page, 'reader');
    await page.waitForURL(`${server.url}/canvas/account`);
    watched.expectNone();
    await context.close();
  });

  it('keeps those who are in reading while the provider is down, and lets nobody new in', async () => {
    // Its word on this session is old at once, within the minute by which clocks may differ: the session
    // is asked about anew at each request.
    const exp = Math.floor(Date.now() / 1000) - 2;
    await provider.command('tamper', { times: 1000, id_token: { claims: { exp } } });
    const storageState = await byProvider(browser, server, 'admin');
    // Somebody else comes back with a code at the moment at which it goes down.
    const late = await open();
    await late.page.goto(`${server.url}/canvas/sign-in`);
    await late.page.getByRole('link', { name: /^Continue with / }).click();
    await provider.command('hold', { path: '/token' });
    const comesBack = atProvider(late.page, 'editor');
    await provider.command('held', { path: '/token' });
    await provider.command('down');
    try {
      await comesBack;
      await late.page.getByRole('heading', { name: 'This cannot be done at the moment' }).waitFor();
      await expectOutside(late);
      const context = await newContext(browser, { storageState });
      const page = await context.newPage();
      for (const path of ['/canvas/keys', '/canvas/account', '/canvas/workspaces/new']) {
        const answer = await page.goto(server.url + path);
        assert.equal(answer.status(), 200, path);
      }
      await page.getByLabel('Name').fill('too old');
      await page.getByRole('button', { name: 'Create workspace' }).click();
      await page.getByRole('heading', { name: 'This cannot be done at the moment' }).waitFor();
      assert.match(await page.getByRole('main').innerText(), /identity provider cannot be reached.*your session only reads/i);
      await page.goto(`${server.url}/canvas/workspaces`);
      await page.getByRole('heading', { name: 'No workspace yet' }).waitFor();
      await context.close();

      const other = await open();
      await other.page.goto(`${server.url}/canvas/sign-in`);
      const failed = other.page.waitForEvent('requestfailed');
      await other.page.getByRole('link', { name: /^Continue with / }).click();
      assert.ok((await failed).url().startsWith(provider.issuer));
      await expectOutside(other);
    } finally {
      await provider.command('release', { path: '/token' });
      await provider.command('up');
      await provider.command('tamper-no-more');
    }
  });

  /** Nobody is signed in in this window. */
  async function expectOutside({ context, page }) {
    const answer = await page.goto(`${server.url}/canvas/keys`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.ok(answer.url().startsWith(`${server.url}/canvas/sign-in`));
    await context.close();
  }
});

describe('signing in with ADMIN_TOKEN', () => {
  let browser;
  let server;

  before(async () => {
    [browser, server] = await Promise.all([startBrowser(), startServer({ adminToken: true })]);
    await server.firstKey();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  for (const view of VIEWS.filter(({ colorScheme }) => colorScheme === 'dark')) {
    it(`says at the field what is wrong, and comes back to where one was, at ${view.name}`, () =>
      visit(browser, `${server.url}/canvas/audit?status=200`, {
        view,
        except: [/401/],
        use: async (page) => {
          await page.getByLabel('ADMIN_TOKEN').fill('something else that is long enough');
          await page.getByRole('button', { name: 'Sign in' }).click();
          await page.getByText('This is not the ADMIN_TOKEN of this server.').waitFor();
          assert.equal(await page.getByLabel('ADMIN_TOKEN').inputValue(), '', 'no credential is sent back');
          await page.getByLabel('ADMIN_TOKEN').fill(ADMIN_TOKEN);
          await page.getByRole('button', { name: 'Sign in' }).click();
          await page.waitForURL(`${server.url}/canvas/audit?status=200`);
        },
      }));
  }

  it('shows the pages of nobody and of nothing rightly everywhere', async () => {
    const storageState = await byAdminToken(browser, server);
    await tour(browser, server, [
      '/canvas/sign-in',
      '/canvas/sign-in?reason=session_ended&next=%2Fcanvas%2Faudit',
      ['/canvas/sign-in/provider', { except: [/409/] }],
    ]);
    await tour(browser, server, [
      '/canvas/account',
      ['/canvas/keys/tok_01J00000000000000000000000', { except: [/404/] }],
      ['/canvas/nowhere', { except: [/404/] }],
    ], { storageState });
  });

  it('comes back to where one was when the session has ended, from a page and from a form', async () => {
    const context = await newContext(browser, { storageState: await byAdminToken(browser, server) });
    const page = await context.newPage();
    const watched = await watch(page);
    const endSessions = () => server.api('DELETE', '/org/members/local-admin/sessions');
    const signIn = async () => {
      await page.getByText('Your session has ended. Sign in again, and you come back to where you were.').waitFor();
      await page.getByLabel('ADMIN_TOKEN').fill(ADMIN_TOKEN);
      await page.getByRole('button', { name: 'Sign in' }).click();
    };

    await page.goto(`${server.url}/canvas/keys?status=all`);
    await endSessions();
    await page.getByRole('banner').getByRole('link', { name: 'Workspaces' }).click();
    await signIn();
    await page.waitForURL(`${server.url}/canvas/workspaces`);

    await page.goto(`${server.url}/canvas/workspaces/new`);
    await page.getByLabel('Name').fill('too late');
    await endSessions();
    await page.getByRole('button', { name: 'Create workspace' }).click();
    await signIn();
    await page.waitForURL(`${server.url}/canvas/workspaces/new`);
    const { workspaces } = await server.api('GET', '/workspaces');
    assert.deepEqual(workspaces, [], 'what was sent without a session has done nothing');
    watched.expectNone();
    await context.close();
  });

  it('lists the sessions of a person, and ends one, the others, and all', async () => {
    await server.api('DELETE', '/org/members/local-admin/sessions');
    const states = [await byAdminToken(browser, server), await byAdminToken(browser, server), await byLinkTyped(browser, server)];
    const [here, second, third] = await Promise.all(states.map((storageState) => newContext(browser, { storageState })));
    const page = await here.newPage();
    const watched = await watch(page);
    const isIn = async (context) => {
      const other = await context.newPage();
      await other.goto(`${server.url}/canvas/account`);
      const isSignedIn = other.url() === `${server.url}/canvas/account`;
      await other.close();
      return isSignedIn;
    };
    await page.goto(`${server.url}/canvas/account`);
    const rows = page.getByRole('table', { name: 'Your sessions' }).locator('tbody tr');
    assert.equal(await rows.count(), 3);
    assert.equal(await page.getByText('this one').count(), 1);
    assert.equal(await page.getByText('by one-time link').count(), 1);
    assert.equal(await page.getByText('Headless Chrome on Linux').count() >= 3, true);

    await rows.filter({ hasText: 'one-time link' }).getByRole('button', { name: /^End/ }).click();
    await page.getByText('The session has ended.').waitFor();
    assert.deepEqual([await isIn(second), await isIn(third)], [true, false]);
    await page.getByRole('button', { name: 'End every other session' }).click();
    await page.getByText('Every other session has ended.').waitFor();
    assert.deepEqual([await isIn(here), await isIn(second)], [true, false]);
    await page.getByRole('button', { name: 'Sign out everywhere' }).click();
    await page.getByText('You are signed out.').waitFor();
    assert.equal(await isIn(here), false);
    watched.expectNone();
    await Promise.all([here, second, third].map((context) => context.close()));
  });
});
