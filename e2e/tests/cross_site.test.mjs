// Pages of other origins, in the browser of somebody who is trusted: nothing changes, nothing is read.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { ORIGINS, startAttacker } from '../support/attacker.mjs';
import { newContext, startBrowser } from '../support/browser.mjs';
import { byAdminToken } from '../support/people.mjs';
import { startServer } from '../support/server.mjs';
import { apiTargets, formTargets, furnish, mainTargets } from '../support/targets.mjs';
import { expectUnchanged } from '../support/unchanged.mjs';

/** The sweeps over everything take long on a busy machine: they belong to `./check --nightly`. */
const LATER = process.env.CLAVIGER_E2E_SWEEPS === '1' ? false : 'run by ./check --nightly';

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

  describe('in the browser of an admin', () => {
    let server;
    let ids;
    let storageState;

    before(async () => {
      server = await startServer({ adminToken: true });
      await server.firstKey();
      ids = await furnish(server);
      storageState = await byAdminToken(browser, server);
    });
    after(() => server?.stop());

    /** Attacks from each place, and sees that the admin is still signed in, and nothing else is otherwise. */
    async function fromEverywhere(hosts, attack, see = () => {}) {
      for (const host of hosts) {
        const context = await newContext(browser, { storageState });
        const outcome = await expectUnchanged(server, () => attack(context, host));
        expectRefused(outcome);
        const goesAlong = outcome.sent.some((row) => row.cookie && row.method !== 'GET');
        assert.equal(goesAlong, host === '127.0.0.1', 'cookies go along with what changes something from the same host alone');
        const page = await context.newPage();
        await page.goto(`${server.url}/canvas/account`);
        assert.equal(page.url(), `${server.url}/canvas/account`, 'still signed in');
        await context.close();
        see(outcome);
      }
    }

    for (const { method, path } of mainTargets({ ws: '{id}', tok: '{id}' })) {
      it(`change and read nothing by ${method} ${path}, whatever they try`, () => {
        const target = mainTargets(ids).find((one) => one.method === method && pattern(one.path) === path);
        return fromEverywhere([ORIGINS['another site'], ORIGINS['another port']],
          (context, host) => attacker.attack(context, { host, home: server.url, target }));
      });
    }

    it('change and read nothing by any route of the API that changes something', { skip: LATER }, async () => {
      const targets = await apiTargets(server, ids);
      assert.ok(targets.length >= 35, `${targets.length} routes`);
      await fromEverywhere([ORIGINS['another site'], ORIGINS['another port']],
        (context, host) => attacker.sweep(context, { host, home: server.url, targets }));
    });

    it('change and read nothing by any form of the Canvas', { skip: LATER }, async () => {
      const targets = await formTargets(ids);
      assert.ok(targets.length >= 40, `${targets.length} forms`);
      await fromEverywhere([ORIGINS['another site'], ORIGINS['another port']],
        (context, host) => attacker.sweep(context, { host, home: server.url, targets }), ({ sent }) => {
          // Each has arrived, and is refused for where it comes from, whatever is in it.
          const arrived = sent.filter((row) => row.method === 'POST' && row.status !== null);
          const others = arrived.filter((row) => row.status !== 403 && !isSentToSignIn(row));
          assert.deepEqual(others, []);
          const paths = new Set(arrived.map((row) => row.path));
          assert.deepEqual(targets.map(({ path }) => path).filter((path) => !paths.has(path)), []);
        });
    });
  });
});

const pattern = (path) => path.replaceAll(/(ses|ws|tok|req|ch|wst)_[0-9A-Z]{26}/g, '{id}');

/** Somebody who is not signed in is sent to do so. */
const isSentToSignIn = ({ cookie, status, to }) => !cookie && status === 303 && to?.startsWith('/canvas/sign-in');

/** Nothing was read, and what would change something was refused wherever it arrived. */
function expectRefused({ sent, read }) {
  assert.deepEqual(read, []);
  assert.ok(sent.some((row) => row.method !== 'GET' && row.status !== null), 'something has arrived');
  const accepted = sent.filter((row) => row.method !== 'GET' && row.status !== null && row.status < 400 && !isSentToSignIn(row));
  assert.deepEqual(accepted, []);
}
