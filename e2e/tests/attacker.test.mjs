// The attacks do what they are meant to, where nothing stops them.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { NAVIGATING } from '../support/attacks.mjs';
import { ORIGINS, startAttacker } from '../support/attacker.mjs';
import { newContext, startBrowser } from '../support/browser.mjs';
import { startGullible } from '../support/gullible.mjs';

const TARGET = { method: 'DELETE', path: '/things/1?sure=yes', form: { name: 'x&"y' }, json: { grant: ['*'], name: 'x' } };

describe('the attacker', () => {
  let browser;
  let attacker;
  let victim;

  before(async () => {
    [browser, attacker, victim] = await Promise.all([startBrowser(), startAttacker(), startGullible()]);
  });
  after(() => Promise.all([browser?.close(), attacker?.stop(), victim?.stop()]));

  for (const [name, host] of Object.entries(ORIGINS)) {
    it(`reaches a server that believes everybody, from ${name}`, async () => {
      const context = await newContext(browser);
      const page = await context.newPage();
      await page.goto(victim.url);
      victim.received.length = 0;
      const { sent, read } = await attacker.attack(context, { host, home: victim.url, target: TARGET });
      await context.close();

      const isSameSite = host === '127.0.0.1';
      const arrived = victim.received.filter((row) => row.path !== '/favicon.ico');
      const count = (matches) => arrived.filter(matches).length;
      assert.equal(count((row) => row.method === 'DELETE' && row.type === 'application/json'), 2, 'fetch, XMLHttpRequest');
      assert.equal(count((row) => row.override === 'DELETE'), 1);
      assert.equal(count((row) => row.type?.startsWith('multipart/form-data') && row.body.includes('x&"y')), 1);
      assert.ok(count((row) => row.type?.startsWith('application/x-www-form-urlencoded') && row.body === 'name=x%26%22y') >= 9);
      const smuggled = arrived.filter((row) => row.type === 'text/plain' && row.body.includes('='));
      assert.deepEqual(smuggled.map((row) => JSON.parse(row.body)), [{ grant: ['*'], name: 'x=' }]);
      assert.equal(count((row) => row.method === 'WebSocket'), 1);
      assert.ok(count((row) => row.method === 'GET') >= 14, 'image, script, frame and the rest');

      const readers = new Set(read.map(({ attack }) => attack));
      for (const reader of ['fetch, reading', 'fetch, its own method, preflighted', 'XMLHttpRequest', 'image', 'script',
        'module script with cookies', 'WebSocket', 'EventSource']) assert.ok(readers.has(reader), `${reader} reads`);
      for (const attack of Object.keys(NAVIGATING)) {
        const row = sent.find((one) => one.attack === attack);
        assert.equal(row?.status, 200, attack);
        assert.equal(row.site, isSameSite ? 'same-site' : 'cross-site', attack);
      }
      // What SameSite is good for, and what it is not.
      const forms = arrived.filter((row) => row.type?.startsWith('multipart/'));
      assert.deepEqual(forms.map((row) => row.cookie.includes('lax=1')), [isSameSite]);
      assert.ok(arrived.some((row) => row.method === 'GET' && row.cookie.includes('lax=1')), 'a new window has Lax cookies');
      assert.equal(arrived.some((row) => row.method === 'DELETE' && row.cookie.includes('strict=1')), isSameSite);
    });
  }
});
