// The real binary in a real browser: its reference, and what a newcomer does first.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { newContext, SCRIPTED_VIEWS, startBrowser } from '../support/browser.mjs';
import { countTransfer } from '../support/measure.mjs';
import { startServer } from '../support/server.mjs';
import { shoot } from '../support/shots.mjs';
import { watch } from '../support/watch.mjs';

describe('the service', () => {
  let browser;
  let server;

  before(async () => {
    [browser, server] = await Promise.all([startBrowser(), startServer()]);
    await server.firstKey();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it('knows its first key, and says so on one line for each call', async () => {
    const { actor, grant } = await server.api('GET', '/org/whoami');
    assert.match(actor, /^org-token:mole_/);
    assert.deepEqual(grant.permissions, ['*']);
    assert.equal((await server.ask('GET', '/org/tokens')).status, 401, 'tier 0 is closed');
    // The line may come a moment after the answer.
    const start = `${actor} GET /org/whoami 200`;
    const line = await server.program.until((out) => out.split('\n').slice(0, -1).find((one) => one.startsWith(start)));
    assert.match(line, / 200 \d+(us|ms|s)$/);
  });

  it('describes its API without a resource from another host', async () => {
    const { paths } = await server.api('GET', '/openapi.json');
    assert.ok(paths['/org/tokens/{id}']?.delete);
    for (const view of SCRIPTED_VIEWS) {
      const context = await newContext(browser, view);
      const page = await context.newPage();
      const watched = await watch(page);
      const transfer = await countTransfer(page);
      await page.goto(`${server.url}/docs`);
      await page.getByText('/org/tokens/{id}', { exact: true }).first().waitFor();
      watched.expectNone();
      // Others wrote this page; how large it is matters only as a sign that it is all there.
      assert.ok((await transfer.requests()).some(({ url }) => url.endsWith('.js')));
      if (view.width === 'wide' && view.colorScheme === 'light') await shoot(page, 'reference');
      await context.close();
    }
  });

  it('stops well, and keeps what it knew', async () => {
    const first = await startServer({ adminToken: true });
    const { id } = await first.firstKey();
    await first.stop({ keepsData: true });
    const second = await startServer({ adminToken: true, home: first.home });
    assert.equal((await second.api('GET', `/org/tokens/${id}`, undefined, { token: first.key })).id, id);
    await second.stop();
  });
});
