// A newcomer: from a server that was just started to the first call of the first key.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { newContext, startBrowser } from '../support/browser.mjs';
import { startServer } from '../support/server.mjs';
import { shoot } from '../support/shots.mjs';
import { tour, visit } from '../support/visit.mjs';
import { watch } from '../support/watch.mjs';

describe('a newcomer', () => {
  let browser;
  let server;

  before(async () => {
    [browser, server] = await Promise.all([startBrowser({ keepsPages: true }), startServer({ atTerminal: true })]);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** What the page shows as the secret of a key. */
  const secretOn = (page) => page.locator('.secret-value').innerText();

  it('clicks on the link that the server printed, and is signed in; nobody else can', async () => {
    const context = await newContext(browser);
    const page = await context.newPage();
    const watched = await watch(page);
    const sent = [];
    page.on('request', (request) => sent.push(request.url()));
    await page.goto(server.printedLink);
    await page.waitForURL('**/canvas/first-run');
    const token = server.printedLink.split('#')[1];
    assert.deepEqual(sent.filter((url) => url.includes(token)), [], 'what proves anything is sent in no address');
    await page.goBack();
    assert.ok(!page.url().includes(token), 'and is not in the history');
    watched.expectNone();
    server.signedIn = await context.storageState();
    await context.close();

    for (const view of [{ width: 'phone' }, { colorScheme: 'dark' }]) {
      await visit(browser, server.printedLink, {
        view,
        except: [/^answer: 401 POST/, /status of 401/],
        use: async (other) => {
          await other.getByRole('heading', { name: 'This link does not work any more' }).waitFor();
          await other.getByText('claviger login-link').first().waitFor();
          assert.deepEqual(await other.context().cookies(), []);
        },
      });
    }
  });

  it('sees pages that are right everywhere', async () => {
    await tour(browser, server, ['/canvas/sign-in', '/canvas/link']);
    await tour(browser, server, ['/canvas/first-run', '/canvas/keys', '/canvas/workspaces', '/canvas/members', '/canvas/account'],
      { storageState: server.signedIn });
  });

  it('names a key, copies it, and sees its first call arrive', async () => {
    const context = await newContext(browser, { storageState: server.signedIn, permissions: ['clipboard-read', 'clipboard-write'] });
    const page = await context.newPage();
    const watched = await watch(page);
    await page.goto(`${server.url}/canvas`);
    await page.waitForURL('**/canvas/first-run');
    await shoot(page, 'first-run');

    await page.getByLabel('Name').fill('data-pipeline');
    await page.getByRole('radio', { name: 'Read only' }).check();
    await page.getByRole('button', { name: 'Mint the key' }).click();
    const secret = await secretOn(page);
    assert.match(secret, /^mole_[0-9A-Za-z]{49}$/);
    await page.locator('.secret').getByRole('button', { name: 'Copy' }).click();
    assert.equal(await page.evaluate('navigator.clipboard.readText()'), secret);
    const curl = await page.getByText(/^curl -sS /).first().innerText();
    assert.ok(curl.includes('/org/whoami') && curl.includes(secret), curl);

    await page.getByText('Waiting for the first call.').waitFor();
    const whoami = await server.api('GET', '/org/whoami', undefined, { token: secret });
    await page.getByText(/The first call arrived .* from 127\.0\.0\.1\. GET \/org\/whoami was answered with 200\./).waitFor();

    await page.getByRole('checkbox', { name: 'I have saved the secret' }).check();
    await page.getByRole('link', { name: 'Open the key' }).click();
    await page.getByRole('heading', { name: 'data-pipeline' }).waitFor();
    assert.match(whoami.key.id, /^tok_/);
    assert.equal(page.url(), `${server.url}/canvas/keys/${whoami.key.id}`);
    watched.expectNone();
    // A page that may not be kept is not there to go back to.
    await page.goBack().catch(() => {});
    await page.waitForLoadState();
    assert.equal(await page.getByText(secret).count(), 0, 'the secret was shown once');
    const later = await context.newPage();
    await later.goto(`${server.url}/canvas`);
    await later.waitForURL('**/canvas/keys');
    await context.close();
  });
});

describe('a newcomer without scripts', () => {
  let browser;
  let server;

  before(async () => {
    [browser, server] = await Promise.all([startBrowser(), startServer({ atTerminal: true })]);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it('types the link in, mints the first key, and looks for its call', async () => {
    await visit(browser, server.printedLink, {
      view: { width: 'phone', hasScripts: false },
      use: async (page) => {
        await page.getByLabel('The link, or what stands behind # in it').fill(server.printedLink);
        await page.getByRole('button', { name: 'Sign in' }).click();
        await page.waitForURL('**/canvas/first-run');
        await page.getByLabel('Name').fill('by-hand');
        await page.getByRole('button', { name: 'Mint the key' }).click();
        const token = await page.locator('.secret-value').innerText();
        await page.getByRole('link', { name: 'I have sent it: look' }).click();
        await page.getByText('Nothing has arrived yet.').waitFor();
        assert.ok(!(await page.content()).includes(token), 'the secret was shown once');
        await server.api('GET', '/org/whoami', undefined, { token });
        await page.getByRole('link', { name: 'I have sent it: look' }).click();
        await page.getByText(/It arrived .* from 127\.0\.0\.1/).waitFor();
      },
    });
  });
});
