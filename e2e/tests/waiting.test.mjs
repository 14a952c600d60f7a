// What takes a while: one press opens one dialog, and whoever waits sees that something is on its way.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { gone, seen, startDesk } from '../support/desk.mjs';
import { expectWellMade } from '../support/visit.mjs';
import { look } from '../support/worlds.mjs';

describe('waiting in the Canvas', () => {
  let desk;

  before(async () => { desk = await startDesk(); });
  after(() => desk?.stop());

  const at = (name, rest = '') => `/canvas/keys/${desk.org.keys[name].id}${rest}`;

  /** Holds every answer whose address fits; `held.asked()` is how many there are, `held.go()` lets them go. */
  async function hold(page, pattern) {
    let go;
    const released = new Promise((done) => { go = done; });
    let asked = 0;
    await page.route(pattern, async (route) => {
      asked += 1;
      await released;
      // Nobody may wait for it any more.
      await route.continue().catch(() => {});
    });
    return { go, asked: () => asked };
  }

  it('opens one dialog, however often one presses, and shows that it comes', () => desk.at(at('chat-agent'), async (page) => {
    const held = await hold(page, '**/revoke');
    const link = page.getByRole('main').getByRole('link', { name: 'Revoke' });
    await link.evaluate((it) => { it.click(); it.click(); });
    assert.equal(await link.getAttribute('aria-busy'), 'true');
    const loading = await seen(page.getByRole('dialog', { name: 'Loading…' }));
    assert.equal(await loading.getAttribute('aria-busy'), 'true');
    await expectWellMade(page);
    held.go();
    const dialog = await seen(page.getByRole('dialog', { name: 'Revoke chat-agent?' }));
    assert.equal(held.asked(), 1);
    assert.equal(await page.locator('dialog[open]').count(), 1);
    assert.equal(await page.locator('[aria-busy]').count(), 0);
    const ids = await page.locator('[id]').evaluateAll((all) => all.map((it) => it.id));
    assert.deepEqual(ids.filter((id, place) => ids.indexOf(id) !== place), [], 'no id is there twice');
    // It can be opened again once it was closed.
    await page.keyboard.press('Escape');
    await gone(dialog);
    await link.click();
    await seen(page.getByRole('dialog', { name: 'Revoke chat-agent?' }));
  }));

  it('opens nothing any more once the waiting is closed', () => desk.at(at('chat-agent'), async (page) => {
    const held = await hold(page, '**/revoke');
    await page.getByRole('main').getByRole('link', { name: 'Revoke' }).click();
    const loading = await seen(page.getByRole('dialog', { name: 'Loading…' }));
    await page.keyboard.press('Escape');
    await gone(loading);
    held.go();
    await page.getByRole('main').getByRole('link', { name: 'Suspend' }).click();
    await seen(page.getByRole('dialog', { name: 'Suspend chat-agent?' }));
    assert.equal(await page.locator('dialog[open]').count(), 1);
    assert.equal(new URL(page.url()).pathname, at('chat-agent'), 'the page stayed');
  }));

  it('opens what was pressed last', () => desk.at(at('chat-agent'), async (page) => {
    const held = await hold(page, '**/revoke');
    await page.getByRole('main').evaluate((main) => {
      const press = (path) => main.querySelector(`a[href$="${path}"]`).click();
      press('/revoke');
      press('/suspend');
    });
    await seen(page.getByRole('dialog', { name: 'Suspend chat-agent?' }));
    held.go();
    assert.equal(await page.locator('dialog[open]').count(), 1);
    assert.equal(new URL(page.url()).pathname, at('chat-agent'), 'the page stayed');
  }));

  it('shows that a search is on its way', () => desk.at('/canvas/keys?q=chat', async (page) => {
    const held = await hold(page, '**/canvas/keys?q=c');
    await page.getByRole('searchbox', { name: 'Search keys' }).fill('c');
    const list = await seen(page.locator('#keys[aria-busy=true].waits'));
    await expectWellMade(page);
    held.go();
    await seen(page.getByRole('link', { name: 'ci-deploy' }));
    await gone(list);
  }));

  it('shows that a filter is on its way', () => desk.at('/canvas/keys', async (page) => {
    const held = await hold(page, '**/canvas/keys?*workspace=*');
    // Playwright waits for the page that comes.
    const chosen = page.getByRole('combobox', { name: 'Workspace' }).selectOption({ label: 'support' });
    await look(page, `new Promise((done) => {
      const again = () => (document.querySelector('.table-frame[aria-busy=true].waits') ? done() : requestAnimationFrame(again));
      again();
    })`);
    held.go();
    await chosen;
    await page.waitForURL(/workspace=ws_/);
    assert.equal(await page.locator('.waits').count(), 0);
  }));

  it('says that a live list is being connected', () => desk.at('/canvas/audit', async (page) => {
    const held = await hold(page, '**/org/audit/stream*');
    await page.getByRole('button', { name: 'Live' }).click();
    await seen(page.getByText('Connecting', { exact: true }));
    await seen(page.locator('.table-frame[aria-busy=true].waits'));
    await expectWellMade(page);
    held.go();
    await seen(page.getByText('Following'));
    assert.equal(await page.locator('.waits').count(), 0);
  }));

  it('says that the words of a form are being thought over', () => desk.at('/canvas/keys/new', async (page) => {
    await seen(page.locator('#summary').getByText('In every workspace', { exact: false }));
    const held = await hold(page, '**/canvas/keys/new');
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('another');
    await seen(page.locator('#summary[aria-busy=true].waits'));
    held.go();
    await gone(page.locator('#summary.waits'));
  }));
});
