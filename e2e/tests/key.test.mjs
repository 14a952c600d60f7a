// The page of one key: what it is, what it may do and why, what it does at this moment.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';

import { seen, startDesk } from '../support/desk.mjs';

describe('the page of a key', () => {
  let desk;

  before(async () => { desk = await startDesk(); });
  after(() => desk?.stop());

  const at = (name, rest = '') => `/canvas/keys/${desk.org.keys[name].id}${rest}`;
  const tab = (page, name) => page.getByRole('navigation', { name: 'Views of the key' }).getByRole('link', { name }).click();

  it('shows the line it stands in, up and down', () => desk.at(at('chat-agent-summary'), async (page) => {
    await seen(page.getByRole('heading', { name: 'Lineage' }));
    await page.getByRole('main').getByRole('link', { name: 'chat-agent', exact: true }).click();
    await seen(page.getByRole('heading', { level: 1, name: /^chat-agent\s/ }));
    await seen(page.getByRole('main').getByRole('link', { name: 'chat-agent-summary' }));
  }));

  it('says who limits what', async () => {
    const { 'chat-agent': parent } = desk.org.keys;
    const child = await desk.server.api('POST', '/org/tokens', { name: 'limited' }, { token: parent.auth_token });
    // The parent gets narrower than what it has given away.
    await desk.server.api('PATCH', `/org/tokens/${parent.id}`, { permissions: ['channels:read', 'org.tokens:mint'] });
    await desk.server.api('PUT', '/org/policy', { permissions: ['channels:*', 'workspaces:*', 'org.tokens:*', 'secrets:*', 'audit:read', 'org:admin'] });
    await desk.at(`/canvas/keys/${child.id}`, async (page) => {
      await tab(page, 'Access');
      await seen(page.getByText('What limits it'));
      const layer = page.getByRole('listitem').filter({ has: page.getByRole('link', { name: 'chat-agent', exact: true }) });
      await seen(layer.getByText(/It does not hold .*channels:write/));
      await seen(page.getByRole('link', { name: 'The org’s policy' }).or(page.getByRole('link', { name: "The org's policy" })));
      await seen(page.getByText('see channels, without their credentials').first());
    });
    await desk.server.api('PUT', '/org/policy', {});
  });

  it('shows calls as they are made, without being loaded again', () => desk.at(at('ci-deploy', '?tab=activity'), async (page) => {
    await seen(page.getByText('Following'));
    const path = `/workspaces/${desk.org.workspaces.support}/secrets`;
    assert.equal(await page.getByRole('row').filter({ hasText: path }).count(), 0);
    await page.evaluate(() => { window.isTheSame = true; });
    await desk.call(desk.org.keys['ci-deploy'].auth_token, path);
    const row = await seen(page.getByRole('row').filter({ hasText: path }));
    assert.match(await row.innerText(), /GET[^]*200[^]*127\.0\.0\.1/);
    assert.ok(await page.evaluate(() => window.isTheSame), 'the page was not loaded again');

    const live = page.getByRole('button', { name: 'Live' });
    await live.click();
    await seen(page.getByText('Paused'));
    assert.equal(await live.getAttribute('aria-pressed'), 'false');
  }));

  it('shows refused calls as they are refused', () => desk.at(at('ci-deploy', '?tab=refused'), async (page) => {
    for (const path of ['/org/audit', '/org/members']) await desk.call(desk.org.keys['ci-deploy'].auth_token, path);
    const row = await seen(page.getByRole('row').filter({ hasText: '/org/members' }).first());
    assert.match(await row.innerText(), /403/);
    assert.equal(await page.getByRole('row').filter({ hasText: '200' }).count(), 0, 'what was answered is not refused');
  }));

  it('draws what was used, with the same numbers as a table', () => desk.at(at('nightly-report'), async (page) => {
    await seen(page.getByRole('img', { name: /^Calls in 30 days: / }));
    await page.getByText('Show the numbers').click();
    const today = page.getByRole('table', { name: 'Calls in 30 days' }).getByRole('row').last();
    assert.match(await today.innerText(), /\s3\s+2$/);
  }));

  it('advises less, which one click fills in', () => desk.at(at('nightly-report'), async (page) => {
    await tab(page, 'Advice');
    await seen(page.getByRole('heading', { name: 'What would be enough' }));
    await seen(page.getByText('/workspaces/{id}/secrets/values').first());
    await page.getByRole('link', { name: 'Narrow it to this' }).click();
    await seen(page.getByText('Filled in with what would have been enough', { exact: false }));
    await page.getByRole('button', { name: 'Save' }).click();
    await seen(page.getByText('Saved.'));
    const { grant } = await desk.key(desk.org.keys['nightly-report'].id);
    assert.ok(!grant.permissions.includes('channels:send'), grant.permissions);
    assert.ok(grant.permissions.includes('secrets:reveal'), grant.permissions);
    await tab(page, 'Changes');
    await seen(page.getByRole('row').filter({ hasText: /changed|narrowed/i }).first());
  }));

  it('changes a name and tags, and says at the field what cannot be', () => desk.at(at('warehouse-sync'), async (page) => {
    await page.getByRole('link', { name: 'Edit' }).click();
    await page.getByRole('textbox', { name: 'Name' }).fill('warehouse-sync-2');
    await page.getByRole('textbox', { name: /^Tags/ }).fill('no pair');
    await page.getByRole('button', { name: 'Save' }).click();
    await seen(page.getByText('`no pair` is none', { exact: false }).or(page.getByText('no pair is none')).first());
    assert.equal(await page.getByRole('textbox', { name: 'Name' }).inputValue(), 'warehouse-sync-2');
    await page.getByRole('textbox', { name: /^Tags/ }).fill('team=data\ntier=two');
    await page.getByRole('button', { name: 'Save' }).click();
    await seen(page.getByText('Saved.'));
    await page.getByRole('link', { name: 'two' }).click();
    await page.waitForURL(/tag=tier%3Dtwo/);
    await seen(page.getByRole('link', { name: 'warehouse-sync-2' }));
  }, { except: [/422/] }));

  it('says what whoever has its secret could do, and gives it as a file', () => desk.at(at('nightly-report'), async (page) => {
    await page.getByRole('link', { name: 'Blast radius' }).click();
    await seen(page.getByText('The key is accepted now.', { exact: false }));
    const main = await page.getByRole('main').innerText();
    for (const word of ['read the values of secrets', 'billing', 'DB_PASSWORD', '/secrets/values', '127.0.0.1']) {
      assert.ok(main.includes(word), `${word} is not in ${main}`);
    }
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: /Export|Download/ }).click(),
    ]);
    const report = JSON.parse(await readFile(await download.path(), 'utf8'));
    assert.ok(JSON.stringify(report).includes('DB_PASSWORD'));
    assert.ok(!JSON.stringify(report).includes('not shown'), 'no value is in it');
  }));
});
