// Pages of other origins, in the browser of somebody who is trusted: nothing changes, nothing is read.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { ORIGINS, startAttacker } from '../support/attacker.mjs';
import { newContext, startBrowser } from '../support/browser.mjs';
import { startServer } from '../support/server.mjs';
import { furnish, jsonTargets } from '../support/targets.mjs';
import { expectUnchanged } from '../support/unchanged.mjs';

describe('pages of other origins', () => {
  let browser;
  let attacker;

  before(async () => {
    [browser, attacker] = await Promise.all([startBrowser(), startAttacker()]);
  });
  after(() => Promise.all([browser?.close(), attacker?.stop()]));

  it('cannot mint the first key, while tier 0 trusts this machine', async () => {
    const server = await startServer();
    const context = await newContext(browser);
    const target = { method: 'POST', path: '/org/tokens', form: { name: 'evil' }, json: { name: 'evil' } };
    for (const host of Object.values(ORIGINS)) {
      const outcome = await attacker.attack(context, { host, home: server.url, target });
      expectRefused(outcome);
    }
    await context.close();
    // It is still open, and what it mints is the first.
    await server.firstKey();
    const { tokens } = await server.api('GET', '/org/tokens?status=all');
    assert.deepEqual(tokens.map((token) => token.name), ['harness']);
    await server.stop();
  });

  describe('against the JSON API', () => {
    let server;
    let facts;

    before(async () => {
      server = await startServer({ adminToken: true });
      await server.firstKey();
      facts = await furnish(server);
    });
    after(() => server?.stop());

    for (const { method, path } of jsonTargets({ workspace: '{id}', key: '{id}', request: '{id}' })) {
      it(`change and read nothing by ${method} ${path}`, async () => {
        const target = jsonTargets(facts).find((one) => one.method === method && pattern(one.path) === path);
        for (const host of [ORIGINS['another site'], ORIGINS['another port']]) {
          const context = await newContext(browser);
          const outcome = await expectUnchanged(server, () => attacker.attack(context, { host, home: server.url, target }));
          expectRefused(outcome);
          await context.close();
        }
      });
    }
  });
});

const pattern = (path) => path.replaceAll(/(ws|tok|req)_[0-9A-Z]+/g, '{id}');

/** Nothing was read, and what would change something was refused wherever it arrived. */
function expectRefused({ sent, read }) {
  assert.deepEqual(read, []);
  assert.ok(sent.some((row) => row.method === 'POST' && row.status !== null), 'something has arrived');
  const accepted = sent.filter((row) => row.method !== 'GET' && row.status !== null && row.status < 400);
  assert.deepEqual(accepted, []);
}
