// A key is minted in the Canvas: the form, what it comes to in plain words, and the one page that shows
// the secret.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { back, seen, startDesk } from '../support/desk.mjs';
import { run } from '../support/process.mjs';
import { expectWellMade } from '../support/visit.mjs';

const FORM = '/canvas/keys/new';
const CLIPBOARD = ['clipboard-read', 'clipboard-write'];
const SECRET = /mole_[0-9A-Za-z]{49}/;

describe('minting in the Canvas', () => {
  let desk;

  before(async () => { desk = await startDesk({ keepsPages: true }); });
  after(() => desk?.stop());

  const named = async (name) => {
    const { tokens } = await desk.server.api('GET', `/org/tokens?status=all&q=${name}`);
    return tokens;
  };
  const name = (page) => page.getByRole('textbox', { name: 'Name', exact: true });
  const summary = (page) => page.locator('#summary');
  const level = (page, resource, choice) =>
    page.getByRole('group', { name: resource, exact: true }).getByRole('radio', { name: choice, exact: true });
  const mint = (page) => page.getByRole('button', { name: 'Mint key' }).click();
  const secret = async (page) => {
    await seen(page.getByRole('heading', { level: 1, name: 'Save the secret' }));
    const [found] = (await page.locator('main').innerText()).match(SECRET);
    return found;
  };

  it('shows the sheet of permissions on a window or two', () => desk.at(FORM, async (page) => {
    const sheet = await page.getByRole('group', { name: 'Workspaces', exact: true }).boundingBox();
    assert.ok(sheet.height < 60, `a row is ${sheet.height} px high`);
    const [who, what] = await Promise.all(['Who', 'Permissions'].map((name) =>
      page.locator('section').filter({ has: page.getByRole('heading', { name, exact: true }) }).boundingBox()));
    assert.ok(what.y - who.y - who.height >= 16, 'cards stand apart');
  }));

  it('says in plain words what is being chosen', () => desk.at(FORM, async (page) => {
    await name(page).fill('words');
    await seen(summary(page).getByText('It can do nothing yet.'));
    await level(page, 'Secrets', 'Read').check();
    await seen(summary(page).getByRole('listitem').filter({ hasText: 'see the names of secrets' }));
    await page.getByRole('searchbox', { name: 'Search permissions' }).fill('reveal');
    await page.getByRole('checkbox', { name: 'secrets:reveal' }).check();
    await seen(summary(page).getByRole('listitem').filter({ hasText: /read the values of secrets\s*sensitive/ }));
    assert.ok(!await page.getByRole('group', { name: 'Channels', exact: true }).isVisible(), 'the search leaves it out');
    await page.getByRole('searchbox', { name: 'Search permissions' }).fill('');

    await page.getByRole('radio', { name: /^These workspaces/ }).check();
    await seen(summary(page).getByText('In no workspace.'));
    await page.getByRole('checkbox', { name: /^billing/ }).check();
    await seen(summary(page).getByText('Only in billing.'));
    await page.getByRole('radio', { name: /^By label/ }).check();
    await page.getByRole('textbox', { name: 'Labels' }).pressSequentially('agent=research');
    await seen(summary(page).getByText('Only in workspaces labelled agent=research, as the labels change.'));

    await page.getByRole('radio', { name: 'No end' }).check();
    await seen(summary(page).getByText('It has no end: it works until somebody revokes it.'));
    await page.getByText('Limits, addresses, tags').click();
    await page.getByRole('textbox', { name: 'Requests a minute' }).pressSequentially('60');
    await seen(summary(page).getByText('At most 60 requests a minute.'));
    await page.getByRole('radio', { name: /^Read-only/ }).check();
    await seen(summary(page).getByText('see channels, without their credentials'));
    await page.getByRole('radio', { name: /^All/ }).check();
    await seen(summary(page).getByText('change the org: policy, members, approvals'));
    assert.deepEqual(await named('words'), [], 'words mint nothing');
  }));

  it('mints what was said, and shows the secret once', () => desk.at(FORM, async (page) => {
    await name(page).fill('by-hand');
    await page.getByRole('textbox', { name: /^For whom/ }).fill('data-pipeline');
    await level(page, 'Channels', 'Write').check();
    await page.getByRole('checkbox', { name: 'channels:send' }).check();
    await page.getByRole('radio', { name: /^These workspaces/ }).check();
    await page.getByRole('searchbox', { name: 'Search workspaces' }).fill('bill');
    await page.getByRole('checkbox', { name: /^billing/ }).check();
    await page.getByRole('radio', { name: '30 days' }).check();
    await page.getByText('Limits, addresses, tags').click();
    await page.getByRole('textbox', { name: 'Requests a day' }).fill('1000');
    await page.getByRole('textbox', { name: /^Tags/ }).fill('team=data');
    await mint(page);
    const found = await secret(page);

    await page.getByRole('button', { name: 'Copy', exact: true }).first().click();
    await seen(page.getByText('Copied').first());
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), found);
    await seen(page.getByText(`CLAVIGER_TOKEN=${found}`, { exact: true }));

    // The ready call works as it stands, and the page sees it arrive.
    await seen(page.getByText('Waiting for the first call'));
    await expectWellMade(page);
    const [call] = (await page.locator('pre').allInnerTexts()).filter((text) => text.includes('curl'));
    const answer = await run('sh', ['-c', call]);
    assert.equal(answer.code, 0, answer.err);
    const said = JSON.parse(answer.out);
    assert.equal(said.actor, `org-token:${found.slice(0, 13)}`);
    assert.deepEqual(said.grant.permissions, ['channels:*']);
    assert.deepEqual(said.grant.workspaces, [desk.org.workspaces.billing]);
    assert.equal(said.grant.rate_limit.per_day, 1000);
    await seen(page.getByText(/The first call arrived .* from 127\.0\.0\.1/));

    // It stays until it is said to be saved.
    await page.getByRole('button', { name: 'Done' }).click();
    await seen(page.getByRole('heading', { level: 1, name: 'Save the secret' }));
    await page.getByRole('checkbox', { name: 'I have saved the secret' }).check();
    await page.getByRole('button', { name: 'Done' }).click();
    await seen(page.getByRole('heading', { level: 1, name: 'by-hand' }));
    assert.ok(!(await page.content()).includes(found));

    const [key] = await named('by-hand');
    assert.match(key.created_by, /^session:/);
    assert.deepEqual((await desk.key(key.id)).metadata, { owner: 'data-pipeline', team: 'data' });
  }, { permissions: CLIPBOARD }));

  it('does not bring the secret back, and does not mint twice', () => desk.at(FORM, async (page) => {
    await name(page).fill('only-once');
    await level(page, 'Workspaces', 'Read').check();
    await mint(page);
    const found = await secret(page);
    await page.getByRole('checkbox', { name: 'I have saved the secret' }).check();
    await page.getByRole('button', { name: 'Done' }).click();
    await seen(page.getByRole('heading', { level: 1, name: 'only-once' }));

    await back(page);
    assert.ok(!(await page.content()).includes(found), 'back does not bring it back');
    // Reloading sends the form once more, as a browser does after a question.
    await page.reload();
    await seen(page.getByRole('heading', { level: 1, name: 'This was done before' }));
    assert.ok(!(await page.content()).includes(found));
    assert.equal((await named('only-once')).length, 1);
  }, { except: [/409/, /ERR_CACHE_MISS/] }));

  it('asks before a secret is left that nobody has saved', () => desk.at(FORM, async (page) => {
    await name(page).fill('left-behind');
    await level(page, 'Workspaces', 'Read').check();
    await mint(page);
    await secret(page);
    const asked = page.waitForEvent('dialog');
    const left = page.getByRole('link', { name: 'Audit' }).first().click();
    const dialog = await asked;
    assert.equal(dialog.type(), 'beforeunload');
    await dialog.accept();
    await left;
    await seen(page.getByRole('heading', { level: 1, name: 'Audit' }));
  }));

  it('says what is wrong at the field, and keeps what was typed', () => desk.at(FORM, async (page) => {
    await name(page).fill('bad-address');
    await level(page, 'Secrets', 'Write').check();
    await page.getByRole('radio', { name: /^By label/ }).check();
    await page.getByRole('textbox', { name: 'Labels' }).fill('agent=research');
    await page.getByText('Limits, addresses, tags').click();
    const addresses = page.getByRole('textbox', { name: /^Only from these addresses/ });
    await addresses.fill('somewhere');
    await mint(page);
    await seen(page.locator('.error, [role=alert]').filter({ hasText: 'somewhere' }).first());
    assert.equal(await addresses.getAttribute('aria-invalid'), 'true');
    assert.equal(await addresses.inputValue(), 'somewhere');
    assert.equal(await name(page).inputValue(), 'bad-address');
    assert.equal(await page.getByRole('textbox', { name: 'Labels' }).inputValue(), 'agent=research');
    assert.ok(await page.getByRole('group', { name: 'Secrets', exact: true }).getByRole('radio', { name: 'Write' }).isChecked());
    assert.deepEqual(await named('bad-address'), []);
    await addresses.fill('127.0.0.0/8');
    await mint(page);
    const found = await secret(page);
    assert.equal((await desk.call(found)).body.grant.ip_allow[0], '127.0.0.0/8');
    await page.getByRole('checkbox', { name: 'I have saved the secret' }).check();
  }, { except: [/422/, /400/] }));

  it('mints without scripts, after a review', () => desk.at(FORM, async (page) => {
    await name(page).fill('plain');
    await level(page, 'Channels', 'Read').check();
    await page.getByRole('button', { name: 'Review' }).click();
    await seen(summary(page).getByText('see channels, without their credentials'));
    assert.equal(await name(page).inputValue(), 'plain');
    await expectWellMade(page);
    assert.deepEqual(await named('plain'), []);
    await mint(page);
    const found = await secret(page);
    assert.equal((await desk.call(found)).status, 200);
    await page.getByRole('checkbox', { name: 'I have saved the secret' }).check();
    await page.getByRole('button', { name: 'Done' }).click();
    await seen(page.getByRole('heading', { level: 1, name: 'plain' }));
  }, { view: { hasScripts: false } }));
});
