// Names as long as they may be: no table is cut by one, and nothing in it breaks letter by letter.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { startDesk } from '../support/desk.mjs';
import { tour } from '../support/visit.mjs';

const NAMES = [
  'An extraordinarily long name of a key that somebody typed while thinking about something else again!',
  'W'.repeat(60),
];

describe('long names', () => {
  let desk;
  let pages;

  before(async () => {
    desk = await startDesk({ furnish: async () => ({}) });
    assert.equal(NAMES[0].length, 100);
    const ids = [];
    const workspaces = [];
    for (const name of NAMES) {
      const permissions = ['channels:*', 'secrets:reveal', 'org.tokens:mint', 'org.tokens:read', 'workspaces:read'];
      const { id, auth_token } = await desk.mint(name, { permissions, metadata: { team: name.slice(0, 40) } });
      const below = await desk.server.api('POST', '/org/tokens', { name }, { token: auth_token });
      await desk.call(auth_token, '/workspaces');
      await desk.server.api('POST', '/org/requests', { name, permissions: ['channels:read'], justification: name }, { token: auth_token });
      workspaces.push((await desk.server.api('POST', '/workspaces', { name, labels: { agent: name.slice(0, 60).replaceAll(/[^A-Za-z]/g, '-') } })).id);
      ids.push(id, below.id);
    }
    const [key, child] = ids;
    const requests = await desk.server.api('GET', '/org/requests');
    const [workspace] = workspaces;
    await desk.server.api('PUT', `/workspaces/${workspace}/secrets`, { key: 'W'.repeat(100), value: 'W'.repeat(200) });
    await desk.server.api('POST', `/workspaces/${workspace}/channels`,
      { type: 'webhook', name: NAMES[1], config: { url: 'https://127.0.0.1:9/hook' } });
    await desk.at('/canvas/security', (page) => page.getByText('Looked at', { exact: false }).waitFor());
    pages = [
      '/canvas/keys', '/canvas/security', '/canvas/requests', '/canvas/audit', '/canvas/workspaces',
      `/canvas/keys/${key}`, `/canvas/keys/${child}?tab=access`, `/canvas/keys/${key}?tab=changes`,
      `/canvas/keys/${key}/revoke`, `/canvas/keys/selected?do=suspend&id=${key}&id=${child}`,
      `/canvas/keys/${key}/blast-radius`, `/canvas/requests/${requests.requests[0].id}`,
      ...['', '/secrets', '/keys', '/tokens', '/settings'].map((part) => `/canvas/workspaces/${workspace}${part}`),
    ];
  });
  after(() => desk?.stop());

  /** Every badge and button of a table stands whole in its frame, and what is short is on two lines at most. */
  async function expectWhole(page) {
    const broken = await page.locator('.table-frame').evaluateAll((frames) => frames.flatMap((frame) => {
      const room = frame.getBoundingClientRect();
      return [...frame.querySelectorAll('tbody :is(.badge, .button, .status)')]
        .filter((it) => it.checkVisibility())
        .map((it) => [it.textContent.trim(), it.getBoundingClientRect()])
        .filter(([text, box]) => box.left < room.left || box.right > room.right + 1 || (box.height > 48 && text.length < 30))
        .map(([text, box]) => `${text}: ${Math.round(box.width)} x ${Math.round(box.height)} px`);
    }));
    assert.deepEqual(broken, [], page.url());
  }

  for (const width of ['wide', 'phone']) {
    it(`cut no table, ${width === 'wide' ? 'on a wide screen' : 'on a phone'}`, () => tour(desk.browser, desk.server,
      pages.map((path) => [path, { use: expectWhole }]), { widths: [width], storageState: desk.storageState }));
  }
});
