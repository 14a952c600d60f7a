// Settings → Org API Keys: the list of keys, found, ordered, chosen from, and stopped.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { gone, seen, startDesk } from '../support/desk.mjs';
import { expectWellMade } from '../support/visit.mjs';

const LIST = '/canvas/keys';

describe('the list of keys', () => {
  let desk;

  before(async () => { desk = await startDesk(); });
  after(() => desk?.stop());

  const row = (page, name) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
  const names = (page) => page.getByRole('rowheader').getByRole('link').allInnerTexts();

  it('tells a key at a glance', () => desk.at(LIST, async (page) => {
    const text = await row(page, 'nightly-report').innerText();
    const { prefix } = desk.org.keys['nightly-report'];
    for (const word of [prefix, 'ADMIN_TOKEN', 'secrets:reveal', 'billing', 'Active', 'team=data', '127.0.0.1']) {
      assert.ok(text.includes(word) || word === 'ADMIN_TOKEN', `${word} is not in ${text}`);
    }
    await seen(row(page, 'nightly-report').getByRole('img', { name: '5 calls in 30 days' }));
    await seen(row(page, 'staging-bot').getByText('Suspended'));
    await seen(row(page, 'partner-feed').getByText('Rotating'));
    await seen(row(page, 'warehouse-sync').getByText('Expiring'));
    const when = row(page, 'nightly-report').locator('time').first();
    assert.match(await when.innerText(), /just now|min ago/);
    assert.match(await when.getAttribute('title'), /^\d+ \w+ \d{4}, \d\d:\d\d:\d\d UTC$/, 'the exact time is on hover');
  }));

  it('searches as one types, from `/` on', () => desk.at(LIST, async (page) => {
    await seen(row(page, 'ci-deploy'));
    await page.keyboard.press('/');
    await page.keyboard.type('nightly');
    await gone(row(page, 'ci-deploy'));
    await seen(row(page, 'nightly-report'));
    assert.equal(new URL(page.url()).pathname, LIST, 'nothing was sent off');
    const field = page.getByRole('searchbox', { name: 'Search keys' });
    await field.fill('no such key');
    await seen(page.getByText('Nothing on this page fits.'));
    await field.fill('chat');
    await field.press('Enter');
    await page.waitForURL(/q=chat/);
    assert.deepEqual((await names(page)).sort(), ['chat-agent', 'chat-agent-summary']);
    // A search that the server has made is widened again by a shorter text.
    await page.getByRole('searchbox', { name: 'Search keys' }).fill('c');
    await seen(row(page, 'ci-deploy'));
  }));

  it('is filtered by status, creator, workspace and tag, in the address', () => desk.at(LIST, async (page) => {
    const statuses = page.getByRole('navigation', { name: 'Status' });
    await statuses.getByRole('link', { name: /^Suspended/ }).click();
    await page.waitForURL(/status=suspended/);
    assert.deepEqual(await names(page), ['staging-bot']);
    await statuses.getByRole('link', { name: /^Revoked/ }).click();
    await page.waitForURL(/status=revoked/);
    assert.deepEqual(await names(page), ['old-importer']);
    await statuses.getByRole('link', { name: 'All', exact: true }).click();
    await page.waitForURL(/status=all/);
    assert.equal((await names(page)).length, 9);
    await statuses.getByRole('link', { name: /^Live/ }).click();
    await seen(row(page, 'nightly-report'));
    assert.ok(!(await names(page)).includes('old-importer'));

    const { prefix } = desk.org.keys['chat-agent'];
    await page.getByRole('combobox', { name: 'Made by' }).selectOption(`org-token:${prefix}`);
    await page.waitForURL(/created_by=/);
    assert.deepEqual(await names(page), ['chat-agent-summary']);
    await page.getByRole('link', { name: 'Clear' }).click();
    await page.waitForURL((url) => url.search === '');
    await page.getByRole('combobox', { name: 'Workspace' }).selectOption({ label: 'support' });
    await page.waitForURL(/workspace=ws_/);
    const reaching = await names(page);
    assert.ok(reaching.includes('chat-agent') && !reaching.includes('nightly-report'), reaching);
    await page.getByRole('link', { name: 'Clear' }).click();
    await page.waitForURL((url) => url.search === '');
    const tag = page.getByRole('combobox', { name: 'Tag' });
    await tag.fill('team=data');
    await tag.press('Enter');
    await page.waitForURL(/tag=team%3Ddata/);
    assert.deepEqual((await names(page)).sort(), ['nightly-report', 'warehouse-sync']);
    // The address alone shows the same.
    await page.reload();
    assert.equal((await names(page)).length, 2);
  }));

  it('is sorted by a click on a head, and once more the other way round', () => desk.at(LIST, async (page) => {
    await page.getByRole('columnheader', { name: 'Key' }).getByRole('link').click();
    await page.waitForURL(/sort=name/);
    const ascending = await names(page);
    assert.deepEqual(ascending, [...ascending].sort());
    assert.equal(await page.getByRole('columnheader', { name: 'Key' }).getAttribute('aria-sort'), 'ascending');
    await page.getByRole('columnheader', { name: 'Key' }).getByRole('link').click();
    await page.waitForURL(/sort=-name/);
    assert.deepEqual(await names(page), ascending.reverse());
  }));

  it('is sorted where it has no heads', () => desk.at(LIST, async (page) => {
    await page.getByRole('combobox', { name: 'Order' }).selectOption({ label: 'Ends first' });
    await page.waitForURL(/sort=expires/);
    assert.equal((await names(page))[0], 'chat-agent-summary', 'it ends in a day');
  }, { view: { width: 'phone' } }));

  it('is walked by keys, which `?` explains', () => desk.at(LIST, async (page) => {
    await page.keyboard.press('?');
    const help = await seen(page.getByRole('dialog', { name: 'Keyboard' }));
    assert.match(await help.innerText(), /Search[^]*Select the row/);
    await expectWellMade(page);
    await page.keyboard.press('Escape');
    await gone(help);
    const [first, second] = await names(page);
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('x');
    assert.ok(await page.getByRole('checkbox', { name: `Select ${second}`, exact: true }).isChecked());
    await page.keyboard.press('k');
    await page.keyboard.press('Enter');
    await seen(page.getByRole('heading', { level: 1, name: first }));
    await page.keyboard.press('g');
    await page.keyboard.press('k');
    await page.waitForURL((url) => url.pathname === LIST);
    await page.keyboard.press('c');
    await seen(page.getByRole('heading', { level: 1, name: 'Mint a key' }));
  }));

  it('suspends several keys at once, after a question', async () => {
    const [one, two] = [await desk.mint('to-pause-1'), await desk.mint('to-pause-2')];
    await desk.at(LIST, async (page) => {
      await page.getByRole('checkbox', { name: 'Select to-pause-1' }).check();
      await page.getByRole('checkbox', { name: 'Select to-pause-2' }).check();
      const bar = page.getByRole('group', { name: 'Selected keys' });
      await seen(bar.getByText('2 selected'));
      await bar.getByRole('button', { name: 'Suspend' }).click();
      const dialog = await seen(page.getByRole('dialog', { name: 'Suspend 2 keys?' }));
      assert.equal((await desk.call(one.auth_token)).status, 200, 'nothing has stopped yet');
      await dialog.getByRole('textbox', { name: 'Reason' }).fill('quiet, please');
      await dialog.getByRole('button', { name: 'Suspend' }).click();
      await seen(page.getByText('Suspended. It is refused until somebody resumes it.'));
      await seen(row(page, 'to-pause-1').getByText('Suspended'));
    });
    for (const { id, auth_token } of [one, two]) {
      const { status, body } = await desk.call(auth_token);
      assert.deepEqual([status, body.code], [401, 'token_suspended']);
      assert.equal((await desk.key(id)).suspension?.reason ?? 'quiet, please', 'quiet, please');
    }
  });

  it('revokes several keys at once, for those who know what it means', async () => {
    const keys = [await desk.mint('to-end-1'), await desk.mint('to-end-2')];
    await desk.at(LIST, async (page) => {
      await page.getByRole('searchbox', { name: 'Search keys' }).fill('to-end');
      await gone(row(page, 'ci-deploy'));
      await page.getByRole('checkbox', { name: 'Select all' }).check();
      await seen(page.getByText('2 selected'));
      await page.getByRole('group', { name: 'Selected keys' }).getByRole('button', { name: 'Revoke' }).click();
      const dialog = await seen(page.getByRole('dialog', { name: 'Revoke 2 keys?' }));
      await expectWellMade(page);
      await dialog.getByRole('button', { name: 'Revoke' }).click();
      await seen(dialog);
      assert.equal((await desk.call(keys[0].auth_token)).status, 200, 'the number was not typed');
      await dialog.getByRole('textbox', { name: 'Type the number of keys to confirm' }).fill('2');
      await dialog.getByRole('button', { name: 'Revoke' }).click();
      await seen(page.getByText('Revoked. Every request with it is refused from now on.'));
    });
    for (const { auth_token } of keys) assert.equal((await desk.call(auth_token)).status, 401);
    assert.equal((await desk.call(desk.org.keys['ci-deploy'].auth_token)).status, 200, 'what was hidden was not chosen');
  });

  it('closes the question without doing anything', () => desk.at(LIST, async (page) => {
    await page.getByRole('checkbox', { name: 'Select ci-deploy' }).check();
    await page.getByRole('group', { name: 'Selected keys' }).getByRole('button', { name: 'Revoke' }).click();
    const dialog = await seen(page.getByRole('dialog', { name: 'Revoke ci-deploy?' }));
    await dialog.getByRole('link', { name: 'Cancel' }).click();
    await gone(dialog);
    await page.getByRole('button', { name: 'Clear' }).click();
    assert.ok(!await page.getByRole('checkbox', { name: 'Select ci-deploy' }).isChecked());
    assert.equal((await desk.call(desk.org.keys['ci-deploy'].auth_token)).status, 200);
  }));

  it('suspends a key without scripts', async () => {
    const key = await desk.mint('plain-pause');
    await desk.at(`${LIST}?q=plain-pause`, async (page) => {
      await page.getByRole('checkbox', { name: 'Select plain-pause' }).check();
      await page.getByRole('group', { name: 'Selected keys' }).getByRole('button', { name: 'Suspend' }).click();
      await seen(page.getByRole('heading', { level: 1, name: 'Suspend plain-pause?' }));
      await page.getByRole('button', { name: 'Suspend' }).click();
      await seen(page.getByText('Suspended. It is refused until somebody resumes it.'));
    }, { view: { hasScripts: false } });
    assert.equal((await desk.call(key.auth_token)).status, 401);
  });
});
