// The harness finds what it is there to find, and nothing else.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';

import { expectAccessible } from '../support/accessibility.mjs';
import { newContext, startBrowser, VIEWS } from '../support/browser.mjs';
import { back } from '../support/desk.mjs';
import { countTransfer, expectNoShift, expectNoSidewaysScroll, layoutShift } from '../support/measure.mjs';
import { visit } from '../support/visit.mjs';
import { watch } from '../support/watch.mjs';

const STRICT = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'";

/** Pages that are right, and pages that are wrong in one way each. */
const PAGES = {
  '/good': document('<p>All is well.</p>'),
  '/inline': document('<p style="color: red">A style of its own.</p><script>window.broken = true</script>'),
  '/grey': document('<p class="grey">Hardly to be read in the dark.</p>'),
  '/unnamed': document('<form><input name="q"></form>'),
  '/shifting': document('<p id="late">Below what comes late.</p>', '<script src="/shift.js" type="module"></script>'),
  '/heavy': document('<p>Much style.</p>', '<link rel="stylesheet" href="/heavy.css">'),
  '/wide': document('<pre class="wide">x</pre>'),
  '/cut': document('<div class="table-frame"><table><caption>Rows</caption><tr><td class="wide">x</table></div>'),
  '/elsewhere': document('<img src="http://elsewhere.test:1/x.png" alt="from another host">'),
  '/throwing': document('<p>It throws.</p>', '<script src="/throw.js" type="module"></script>'),
};
const FILES = {
  '/style.css': ['text/css', `body { color: #000; background: #fff } .wide { width: 3000px }
    td.wide { min-width: 3000px } .table-frame { overflow-x: auto }
    @media (prefers-color-scheme: dark) { .grey { color: #ddd } }`],
  '/shift.js': ['text/javascript', `await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const box = document.createElement('p'); box.textContent = 'late'; document.querySelector('h1').after(box);`],
  '/throw.js': ['text/javascript', 'throw new Error("on purpose")'],
  '/heavy.css': ['text/css', `/* ${'x'.repeat(200_000)} */`],
};

function document(body, head = '') {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">${head}</head>
<body><main><h1>A page</h1>${body}</main></body></html>`;
}

describe('the harness', () => {
  let browser;
  let site;
  let url;

  before(async () => {
    site = createServer((request, response) => {
      const [type, body] = FILES[request.url] ?? ['text/html; charset=utf-8', PAGES[request.url]];
      const headers = { 'content-type': type, 'content-security-policy': STRICT, 'cache-control': 'no-store' };
      response.writeHead(body === undefined ? 404 : 200, headers).end(body);
    });
    await new Promise((done) => site.listen(0, '127.0.0.1', done));
    url = `http://127.0.0.1:${site.address().port}`;
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    site.closeAllConnections();
    site.close();
  });

  /** Opens one of the pages; `use(page, watched)` looks at it. */
  async function open(path, use, view) {
    const context = await newContext(browser, view);
    try {
      const page = await context.newPage();
      const watched = await watch(page);
      const transfer = await countTransfer(page);
      await page.goto(url + path);
      return await use(page, watched, transfer);
    } finally {
      await context.close();
    }
  }

  for (const view of VIEWS) {
    it(`lets a good page pass at ${view.name}`, () => visit(browser, `${url}/good`, {
      view,
      use: async (page, { transfer }) => {
        assert.ok(await transfer.expectSmall() > 500, 'the style sheet is counted too');
        assert.equal(page.viewportSize().width, view.width === 'phone' ? 390 : 1440);
      },
    }));
  }

  for (const path of Object.keys(PAGES).filter((it) => it !== '/good')) {
    it(`lets ${path} not pass`, () =>
      assert.rejects(visit(browser, url + path, { view: { width: 'phone', colorScheme: 'dark' } })));
  }

  for (const view of VIEWS) {
    it(`sees too little contrast, and when there is none, at ${view.name}`, () => open('/grey', async (page) => {
      if (view.colorScheme === 'light') return expectAccessible(page);
      return assert.rejects(expectAccessible(page), /color-contrast \(serious\)[^]*Hardly/);
    }, view));
  }

  it('sees a field without a name, unless the rule is left out', () => open('/unnamed', async (page) => {
    await assert.rejects(expectAccessible(page), /label \(critical\)/);
    await expectAccessible(page, { except: { label: 'it is a test' } });
  }));

  it('sees breaches of the policy, and does not breach it itself', async () => {
    await open('/inline', async (page, watched) => {
      await expectAccessible(page);
      await assert.rejects(async () => watched.expectNoBreach(), /script-src[^]*style-src|style-src[^]*script-src/);
      await assert.rejects(async () => watched.expectNone());
      assert.equal(await page.evaluate('window.broken'), undefined);
    });
    await open('/good', async (page, watched) => {
      await expectAccessible(page);
      await layoutShift(page);
      watched.expectNoBreach();
    });
  });

  it('sees what moves', () => open('/shifting', async (page) => {
    await page.getByText('late', { exact: true }).waitFor();
    await assert.rejects(expectNoShift(page), /shifts by 0\.\d+:\n.*p#late/);
  }));

  it('sees what is heavy', () => open('/heavy', async (_page, _watched, transfer) => {
    await assert.rejects(transfer.expectSmall(), /transfers 20\d{4} bytes/);
  }));

  it('sees a page that is wider than the window', () => open('/wide', async (page) => {
    await assert.rejects(expectNoSidewaysScroll(page), /is 30\d\d px wide in a window of 390 px/);
  }, { width: 'phone' }));

  it('sees a table that is cut', () => open('/cut', async (page) => {
    await assert.rejects(expectNoSidewaysScroll(page), /the table “Rows” .* is 30\d\d px wide/);
  }, { width: 'phone' }));

  it('sees requests to other hosts', () => open('/elsewhere', async (_page, watched) => {
    await assert.rejects(async () => watched.expectNone(), /another host|policy: img-src/);
  }));

  it('goes back to a page as it was left, where the browser keeps pages', async () => {
    const keeping = await startBrowser({ keepsPages: true });
    try {
      const page = await (await newContext(keeping)).newPage();
      await page.goto(`${url}/good`);
      await page.evaluate('window.isTheSame = true');
      await page.goto(`${url}/grey`);
      await back(page);
      assert.equal(await page.evaluate('window.isTheSame'), true, 'no-store does not prevent it');
    } finally {
      await keeping.close();
    }
  });

  it('sees scripts that throw', () => open('/throwing', async (_page, watched) => {
    await assert.rejects(async () => watched.expectNone(), /script: on purpose/);
  }));
});
