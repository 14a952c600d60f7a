// The explorer of the trail: found by filters that stand in the address, followed live, taken along.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';

import { expectAccessible } from '../support/accessibility.mjs';
import { gone, seen, startDesk } from '../support/desk.mjs';
import { byAdminToken } from '../support/people.mjs';
import { expectWellMade } from '../support/visit.mjs';

describe('the trail in the Canvas', () => {
  let desk;

  before(async () => { desk = await startDesk(); });
  after(() => desk?.stop());

  const records = (page) => page.getByRole('table', { name: 'Records' }).getByRole('rowheader');
  const statuses = async (page) => (await page.getByRole('table', { name: 'Records' }).locator('tbody tr').allInnerTexts())
    .map((text) => Number(text.match(/\s(\d{3})\s/)?.[1]));

  it('is filtered by what stands in its address', () => desk.at('/canvas/audit', async (page) => {
    const key = desk.org.keys['nightly-report'];
    await page.getByRole('navigation', { name: 'Status' }).getByRole('link', { name: 'Refused' }).click();
    await page.waitForURL(/status=4xx/);
    const refused = await statuses(page);
    assert.ok(refused.length >= 2 && refused.every((status) => status >= 400 && status < 500), refused);

    // A key is meant by its name, too.
    await page.getByRole('textbox', { name: 'Key', exact: true }).fill('nightly-report');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.waitForURL(new RegExp(`token=${key.id}.*status=4xx`));
    assert.deepEqual(await statuses(page), [403, 403]);
    await page.reload();
    assert.deepEqual(await statuses(page), [403, 403], 'the address is all there is to it');

    await page.getByRole('navigation', { name: 'Status' }).getByRole('link', { name: 'All', exact: true }).click();
    await page.waitForURL((url) => !url.search.includes('status'));
    await page.getByRole('combobox', { name: 'Method' }).selectOption('DELETE');
    await page.waitForURL(/method=DELETE/);
    await seen(page.getByText(/Nothing fits/));
    await page.getByRole('link', { name: 'Clear' }).click();
    await page.waitForURL((url) => url.search === '');
    await page.getByRole('combobox', { name: 'Method' }).selectOption('DELETE');
    await page.waitForURL(/method=DELETE/);
    assert.match((await records(page).allInnerTexts()).join(), /DELETE\s+\/org\/tokens\/tok_/);
    await page.goBack();
    await page.waitForURL((url) => !url.search.includes('DELETE'));

    await page.getByRole('combobox', { name: 'Time' }).selectOption('15m');
    await page.waitForURL(/last=15m/);
    await page.getByText('More filters').click();
    await page.getByRole('textbox', { name: 'Workspace' }).fill(desk.org.workspaces.research);
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.waitForURL(/workspace=ws_/);
    for (const text of await records(page).allInnerTexts()) assert.ok(text.includes(desk.org.workspaces.research), text);
  }));

  it('says at the field what it does not understand', () => desk.at('/canvas/audit?token=no-such-key&workspace=x', async (page) => {
    await seen(page.locator('.error').first());
    assert.equal(await page.getByRole('textbox', { name: 'Workspace' }).inputValue(), 'x');
    assert.equal(await page.getByRole('textbox', { name: 'Key', exact: true }).inputValue(), 'no-such-key');
  }, { except: [/400/] }));

  it('shows a record whole, with what it changed', () => desk.at('/canvas/audit?method=DELETE', async (page) => {
    await records(page).getByRole('link').first().click();
    const dialog = await seen(page.getByRole('dialog', { name: /^Record \d+$/ }));
    const text = await dialog.innerText();
    for (const word of ['org-token:mole_', 'replaced', '127.0.0.1', 'tier 2a', '/org/tokens/{id}']) {
      assert.ok(text.includes(word), `${word} is not in ${text}`);
    }
    await expectWellMade(page);
    await dialog.getByRole('link', { name: 'Older' }).click();
    await seen(page.getByRole('heading', { level: 1, name: /^Record \d+$/ }));
    await page.getByRole('link', { name: 'What happened around it' }).click();
    await page.waitForURL(/since=.*until=|until=.*since=/);
    await seen(records(page).first());
  }));

  it('follows what happens, when it is asked to', () => desk.at('/canvas/audit', async (page) => {
    const path = `/workspaces/${desk.org.workspaces.support}/channels`;
    const before = page.getByRole('row').filter({ hasText: path });
    assert.equal(await before.count(), 0);
    await page.evaluate(() => { window.isTheSame = true; });
    const live = page.getByRole('button', { name: 'Live' });
    assert.equal(await live.getAttribute('aria-pressed'), 'false');
    await live.click();
    assert.equal(await live.getAttribute('aria-pressed'), 'true');
    await desk.call(desk.org.keys['ci-deploy'].auth_token, path);
    const row = await seen(page.getByRole('row').filter({ hasText: path }));
    assert.match(await row.innerText(), /just now[^]*GET[^]*200[^]*org-token:mole_/);
    await row.getByRole('link').first().click();
    const dialog = await seen(page.getByRole('dialog', { name: /^Record \d+$/ }));
    await page.keyboard.press('Escape');
    await gone(dialog);
    assert.ok(await page.evaluate(() => window.isTheSame), 'the page was not loaded again');
    await live.click();
    assert.equal(await live.getAttribute('aria-pressed'), 'false');
  }));

  it('stands still until it is asked to follow', () => desk.at('/canvas/audit', async (page, { context }) => {
    const streams = [];
    page.on('request', (request) => { if (request.url().includes('/stream')) streams.push(request.url()); });
    await page.reload();
    await seen(records(page).first());
    // Another page is opened, and so recorded, after this one has run all that it runs.
    const other = await context.newPage();
    await other.goto(`${desk.server.url}/canvas/audit`);
    await seen(other.getByRole('row').filter({ hasText: '/canvas/audit' }).first());
    assert.deepEqual(streams, []);
  }));

  it('says that the session has ended, and leads back', async () => {
    const storageState = await byAdminToken(desk.browser, desk.server);
    await desk.at('/canvas/audit?status=4xx', async (page, { context }) => {
      const live = page.getByRole('button', { name: 'Live' });
      await live.click();
      await seen(page.getByText('Following'));
      const left = await context.request.post(`${desk.server.url}/canvas/sign-out`, { headers: { 'sec-fetch-site': 'same-origin' } });
      assert.ok(left.ok(), left.status());
      await seen(page.getByText('Your session has ended.'));
      assert.equal(await live.getAttribute('aria-pressed'), 'false');
      const address = await page.getByRole('link', { name: 'Sign in again' }).getAttribute('href');
      assert.ok(address.endsWith('/canvas/sign-in?next=%2Fcanvas%2Faudit%3Fstatus%3D4xx'), address);
    }, { storageState, except: [/401/] });
  });

  it('follows only what fits the filters', () => desk.at('/canvas/audit?status=4xx', async (page) => {
    await page.getByRole('button', { name: 'Live' }).click();
    const { auth_token } = desk.org.keys['warehouse-sync'];
    await desk.call(auth_token, '/workspaces');
    await desk.call(auth_token, `/workspaces/${desk.org.workspaces.support}/secrets/values`);
    await seen(page.getByRole('row').filter({ hasText: '/secrets/values' }).first());
    assert.ok((await statuses(page)).every((status) => status >= 400), 'what was answered does not fit');
  }));

  it('is searched by a text in paths and names', () => desk.at('/canvas/audit', async (page) => {
    await page.getByRole('searchbox', { name: 'Text' }).fill('Nightly-REP');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.waitForURL(/q=Nightly-REP/);
    const actors = await page.getByRole('table', { name: 'Records' }).locator('td[data-label="Actor"]').allInnerTexts();
    assert.ok(actors.length >= 2 && actors.every((text) => text.includes('nightly-report')), actors.join());
    await page.getByRole('searchbox', { name: 'Text' }).fill('no such thing anywhere');
    await page.getByRole('button', { name: 'Apply' }).click();
    await seen(page.getByText(/Nothing fits/));
    await expectWellMade(page);
  }));

  it('is taken along as it is filtered, in every format', () => desk.at('/canvas/audit?status=4xx', async (page) => {
    const menu = page.getByText('Export', { exact: true });
    await menu.click();
    await expectAccessible(page, { within: '.exports' });
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: 'CSV' }).waitFor({ state: 'hidden' });
    await expectWellMade(page);
    await menu.click();
    const take = async (name) => {
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name }).click(),
      ]);
      const text = await readFile(await download.path(), 'utf8');
      return [download.suggestedFilename(), text.trimEnd().split('\n')];
    };
    const [file, lines] = await take('JSON Lines');
    assert.equal(file, 'audit.jsonl');
    assert.ok(lines.length >= 2);
    assert.ok(lines.map((line) => JSON.parse(line)).every((record) => record.status >= 400 && record.status < 500));
    const [table, rows] = await take('CSV');
    assert.deepEqual([table, rows.length, rows[0].slice(0, 7)], ['audit.csv', lines.length + 1, 'seq,id,']);
    for (const [name, file, holds] of [['OCSF', 'audit.ocsf.jsonl', 'class_uid'], ['CloudEvents', 'audit.cloudevents.jsonl', 'specversion']]) {
      const [told, events] = await take(name);
      assert.deepEqual([told, events.length], [file, lines.length]);
      assert.ok(holds in JSON.parse(events[0]), events[0]);
    }
  }));

  it('is verified, with and without scripts', async () => {
    await desk.at('/canvas/audit', async (page) => {
      await page.getByRole('link', { name: 'Verify' }).click();
      await seen(page.getByRole('heading', { level: 1, name: 'Verify' }));
      await seen(page.getByText('proves nothing to somebody who does not trust this machine'));
      await page.evaluate(() => { window.isTheSame = true; });
      await page.getByRole('button', { name: 'Verify now' }).click();
      const verdict = await seen(page.getByRole('region', { name: 'Verdict' }));
      assert.match(await verdict.innerText(), /Nothing is wrong[^]*Records 1 to \d+ are, byte for byte, those that were signed, by claviger\/org_\w+\+[0-9a-f]{8}/);
      assert.ok(await page.evaluate(() => window.isTheSame), 'the page was not loaded again');
      await expectWellMade(page);
    });
    await desk.at('/canvas/audit/verify', async (page) => {
      await page.getByRole('button', { name: 'Verify now' }).click();
      await page.waitForURL(/run=1/);
      const verdict = await seen(page.getByRole('region', { name: 'Verdict' }));
      assert.match(await verdict.innerText(), /Nothing is wrong/);
    }, { view: { hasScripts: false } });
  });

  it('says what is wrong, and where', () => desk.at('/canvas/audit/verify', async (page) => {
    const lines = [
      { progress: { records: 4096, of: 9000 } },
      { finding: { kind: 'changed', seq: 150, first: 150, last: 150, column: 'audit_runs.lines', what: 'record 150: other bytes stand there than were signed' } },
      { verdict: { is_sound: false, findings: 1, first: 150, said: 'Records 1 to 149 are, byte for byte, those that were signed. One thing is wrong, at record 150.' } },
    ];
    const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await page.route('**/org/audit/verify', (route) => route.fulfill({ status: 200, contentType: 'application/jsonl', body }));
    const run = page.getByRole('button', { name: 'Verify now' });
    await run.click();
    const verdict = await seen(page.getByRole('region', { name: 'Verdict' }));
    assert.match(await verdict.innerText(), /Not all is well[^]*at record 150/);
    const row = page.getByRole('table', { name: 'What is wrong' }).getByRole('row').last();
    assert.match(await row.innerText(), /150[^]*other bytes[^]*audit_runs\.lines/);
    assert.equal(await row.getByRole('link').getAttribute('href'), '/canvas/audit/150');
    await expectWellMade(page);

    // What did not begin says why; what was found before is gone.
    const problem = { status: 409, contentType: 'application/problem+json', body: JSON.stringify({ detail: 'already under way' }) };
    await page.unroute('**/org/audit/verify');
    await page.route('**/org/audit/verify', (route) => route.fulfill(problem));
    await run.click();
    await seen(page.getByText('It did not begin: already under way.'));
    await gone(page.getByRole('table', { name: 'What is wrong' }));
  }, { except: [/409/] }));

  it('goes on to what is older, and filters, without scripts', async () => {
    for (let call = 0; call < 60; call += 1) await desk.call(desk.org.keys['warehouse-sync'].auth_token);
    await desk.at('/canvas/audit', async (page) => {
      await page.getByRole('textbox', { name: 'Key', exact: true }).fill('warehouse-sync');
      await page.getByRole('button', { name: 'Apply' }).click();
      await page.waitForURL(/token=tok_/);
      assert.equal(await records(page).count(), 50);
      await page.getByRole('link', { name: 'Next' }).click();
      await page.waitForURL(/cursor=/);
      assert.ok(await records(page).count() >= 10);
      await page.getByRole('link', { name: 'First page' }).click();
      await records(page).getByRole('link').first().click();
      await seen(page.getByRole('heading', { level: 1, name: /^Record \d+$/ }));
    }, { view: { hasScripts: false } });
  });
});
