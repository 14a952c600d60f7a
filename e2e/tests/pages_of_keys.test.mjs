// The pages about keys, looked at in every view: nothing is wrong with any, and each can be read
// without scripts.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { seen, startDesk } from '../support/desk.mjs';
import { shoot } from '../support/shots.mjs';
import { expectWellMade, tour } from '../support/visit.mjs';

/**
 * Every page: its path, its heading, words that must be there, and the name of its screenshot. `org` is
 * what `furnishOrg` gave, with the id of a request and of a record.
 */
const PAGES = [
  ['the list', () => '/canvas/keys', 'Org API Keys', ['nightly-report', 'Full access', 'billing'], 'keys'],
  ['the list of all', () => '/canvas/keys?status=all', 'Org API Keys', ['old-importer', 'Revoked']],
  ['a search that finds nothing', () => '/canvas/keys?q=nothing-like-it', 'Org API Keys', ['No key fits']],
  ['the mint', () => '/canvas/keys/new', 'Mint a key', ['In plain words'], 'mint'],
  ['a key', ({ of }) => of('nightly-report'), 'nightly-report', ['Lineage', 'data-pipeline'], 'key'],
  ['a key with others below', ({ of }) => of('chat-agent'), 'chat-agent', ['chat-agent-summary']],
  ['a key that rotates', ({ of }) => of('partner-feed'), 'partner-feed', ['A rotation is under way']],
  ['a key that is revoked', ({ of }) => of('old-importer'), 'old-importer', ['Revoked']],
  ['what a key may do', ({ of }) => of('chat-agent-summary', '?tab=access'), 'chat-agent-summary', ['What limits it', 'chat-agent']],
  ['what a key did', ({ of }) => of('nightly-report', '?tab=activity'), 'nightly-report', ['/secrets/values']],
  ['what a key was refused', ({ of }) => of('nightly-report', '?tab=refused'), 'nightly-report', ['/org/audit']],
  ['advice on a key', ({ of }) => of('nightly-report', '?tab=advice'), 'nightly-report', ['What would be enough']],
  ['what was done to a key', ({ of }) => of('staging-bot', '?tab=changes'), 'staging-bot', ['staging is down', 'Minted']],
  ['the change of a key', ({ of }) => of('chat-agent', '/edit'), 'Edit', ['a grant can only get narrower']],
  ['the rotation of a key', ({ of }) => of('chat-agent', '/rotate'), 'Rotate', ['On first use']],
  ['a rotation that lasts', ({ of }) => of('partner-feed', '/rotate'), 'Rotate', ['Old secret']],
  ['the end of a key', ({ of }) => of('chat-agent', '/revoke'), 'Revoke chat-agent?', ['These die with it', 'chat-agent-summary']],
  ['the suspension of a key', ({ of }) => of('chat-agent', '/suspend'), 'Suspend chat-agent?', ['These stop with it']],
  ['the blast radius', ({ of }) => of('nightly-report', '/blast-radius'), 'Blast radius', ['DB_PASSWORD', '/secrets/values']],
  ['security', () => '/canvas/security', 'Security', ['No expiry', 'Over-broad', 'chat-agent'], 'security'],
  ['uses of ADMIN_TOKEN', () => '/canvas/security?show=admin_token', 'Security', ['/canvas/']],
  ['a remedy', ({ keys }) => `/canvas/security/${keys['chat-agent'].id}/narrow`, 'Narrow', ['chat-agent']],
  ['an end to be set', ({ keys }) => `/canvas/security/${keys['chat-agent'].id}/end`, 'chat-agent', ['chat-agent']],
  ['a suspension advised', ({ keys }) => `/canvas/security/${keys['chat-agent'].id}/suspend`, 'chat-agent', ['chat-agent']],
  ['a revocation advised', ({ keys }) => `/canvas/security/${keys['chat-agent'].id}/revoke`, 'chat-agent', ['chat-agent']],
  ['the policy', () => '/canvas/policy', 'Policy', ['Every key must have an end'], 'policy'],
  ['requests', () => '/canvas/requests', 'Requests', ['report-writer', 'to write the report', 'all that an editor may'], 'requests'],
  ['a request', ({ request }) => `/canvas/requests/${request}`, 'report-writer', ['What the key would do']],
  ['the trail', ({ since }) => `/canvas/audit?until=${since}`, 'Audit', ['/org/whoami'], 'audit'],
  ['the trail of refusals', () => '/canvas/audit?status=4xx', 'Audit', ['/org/audit']],
  ['a record', () => '/canvas/audit/3', 'Record 3', ['The record as it is kept']],
];

describe('the pages about keys', () => {
  let desk;
  let scene;

  before(async () => {
    desk = await startDesk();
    const { keys } = desk.org;
    const request = await desk.server.api('POST', '/org/requests',
      { name: 'report-writer', preset: 'editor', justification: 'to write the report of the month' },
      { token: keys['warehouse-sync'].auth_token });
    await desk.call(keys['ci-deploy'].auth_token);
    // The first look at all keys takes a moment.
    await desk.at('/canvas/security', (page) => seen(page.getByText('Looked at', { exact: false })));
    // The trail as it stands: the visits of a tour fill the page of what is newest.
    const since = new Date().toISOString();
    scene = { since, keys, request: request.id, of: (name, rest = '') => `/canvas/keys/${keys[name].id}${rest}` };
  });
  after(() => desk?.stop());

  /** The pages as a tour takes them. */
  const pages = (isPictured) => PAGES.map(([name, path, heading, words, shot]) => [path(scene), {
    use: async (page) => {
      await expectWords(page, heading, words).catch((error) => { throw new Error(`${name}: ${error.message}`); });
      if (shot && isPictured) await shoot(page, shot);
    },
  }]);

  for (const [words, width, hasScripts] of [
    ['on a phone', 'phone', true], ['on a wide screen', 'wide', true], ['on a phone without scripts', 'phone', false],
  ]) {
    it(`are well made ${words}`, () => tour(desk.browser, desk.server, pages(width === 'wide'),
      { widths: [width], hasScripts, storageState: desk.storageState }));
  }

  it('are well made where several keys are stopped without a dialog', async () => {
    for (const name of ['quiet-1', 'quiet-2']) await desk.mint(name);
    await desk.at('/canvas/keys?q=quiet-', async (page) => {
      for (const name of ['quiet-1', 'quiet-2']) await page.getByRole('checkbox', { name: `Select ${name}` }).check();
      await page.getByRole('group', { name: 'Selected keys' }).getByRole('button', { name: 'Suspend' }).click();
      await seen(page.getByRole('heading', { level: 1, name: 'Suspend 2 keys?' }));
      await expectWellMade(page);
      await page.getByRole('main').getByRole('button', { name: 'Suspend' }).click();
      await seen(page.getByText(/^Suspended/).first());
      await expectWellMade(page);
    }, { view: { hasScripts: false } });
  });

  it('are well made where a key is collected', async () => {
    await desk.at('/canvas/requests', async (page) => {
      const answer = await page.request.post(`${desk.server.url}/org/requests`, {
        data: { name: 'of-my-own', preset: 'reader', justification: 'to look around' },
        headers: { 'sec-fetch-site': 'same-origin', origin: desk.server.url },
      });
      assert.equal(answer.status(), 201, await answer.text());
      const { id } = await answer.json();
      await desk.server.api('POST', `/org/requests/${id}/approve`, {});
      await page.goto(`${desk.server.url}/canvas/requests/${id}`);
      await page.getByRole('button', { name: 'Collect the key' }).click();
      await seen(page.getByText(/mole_[0-9A-Za-z]{49}/).first());
      await expectWellMade(page);
    });
  });
});

async function expectWords(page, heading, words) {
  await page.getByRole('heading', { level: 1, name: heading }).waitFor();
  const text = await page.locator('main').innerText();
  for (const word of words) assert.ok(text.includes(word), `${word} is not in:\n${text}`);
}
