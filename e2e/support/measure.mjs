// What a page weighs, and whether it holds still.

import { look } from './worlds.mjs';

/** The most that a page may transfer with all that belongs to it, on a first visit. */
export const TRANSFER_BYTES_MAX = 150_000;

/** How long a page may take to have all that belongs to it. */
const SETTLE_MS_MAX = 20_000;

/**
 * Counts the bytes that come over the network from now on, heads and bodies, as they are encoded.
 * Call it before the page is opened. A live tail counts with what it has sent so far.
 */
export async function countTransfer(page) {
  const session = await page.context().newCDPSession(page);
  const rows = new Map();
  let settle = () => {};
  const on = (event, change) => session.on(`Network.${event}`, (details) => {
    const row = rows.get(details.requestId);
    if (row) change(row, details);
    settle();
  });
  session.on('Network.requestWillBeSent', ({ requestId, request }) => {
    const before = rows.get(requestId)?.bytes ?? 0;
    if (request.url.startsWith('http')) rows.set(requestId, { url: request.url, bytes: before, head: 0, isOpen: true });
  });
  on('dataReceived', (row, { encodedDataLength }) => { row.bytes += encodedDataLength; });
  on('responseReceived', (row, { response }) => {
    row.head = response.encodedDataLength;
    if (response.mimeType === 'text/event-stream') row.isOpen = false;
  });
  // This is the whole, heads included: it takes the place of what was counted on the way.
  on('loadingFinished', (row, { encodedDataLength }) => Object.assign(row, { bytes: encodedDataLength, head: 0, isOpen: false }));
  on('loadingFailed', (row) => { row.isOpen = false; });
  await session.send('Network.enable');
  await session.send('Network.setCacheDisabled', { cacheDisabled: true });

  /** Waits until nothing is on its way; gives `{url, bytes}` of each request, the largest first. */
  async function requests() {
    const open = () => [...rows.values()].filter((row) => row.isOpen);
    let limit;
    await new Promise((done, failed) => {
      settle = () => { if (open().length === 0) done(); };
      const late = () => failed(new Error(`still loading: ${open().map((row) => row.url).join(', ')}`));
      limit = setTimeout(late, SETTLE_MS_MAX);
      settle();
    }).finally(() => clearTimeout(limit));
    return [...rows.values()]
      .map(({ url, bytes, head }) => ({ url, bytes: bytes + head }))
      .sort((a, b) => b.bytes - a.bytes);
  }

  return {
    requests,
    /** Counts from nothing again: the next page begins. */
    forget: () => rows.clear(),
    /** Fails unless the page took less than `bytesMax`; gives what it took. */
    async expectSmall(bytesMax = TRANSFER_BYTES_MAX) {
      await page.waitForLoadState('load');
      const list = await requests();
      const bytes = list.reduce((sum, row) => sum + row.bytes, 0);
      if (bytes === 0) throw new Error('nothing was transferred: count before the page is opened');
      if (bytes < bytesMax) return bytes;
      const words = list.map((row) => `  ${row.bytes} ${row.url}`);
      throw new Error(`${page.url()} transfers ${bytes} bytes, and may ${bytesMax}:\n${words.join('\n')}`);
    },
  };
}

/** Every shift since the page began, with what moved. Gives `{score, shifts}`. */
export async function layoutShift(page) {
  await page.waitForLoadState('load');
  return look(page, `(async () => {
    await document.fonts.ready;
    // Two frames: what scripts changed on load has been laid out, and painted.
    for (let frame = 0; frame < 2; frame += 1) await new Promise((done) => requestAnimationFrame(done));
    const entries = await new Promise((done) => {
      const seen = [];
      const take = (list) => seen.push(...list);
      const observer = new PerformanceObserver((list) => take(list.getEntries()));
      observer.observe({ type: 'layout-shift', buffered: true });
      // Buffered entries come in a task of their own, and none comes if there are none.
      requestAnimationFrame(() => requestAnimationFrame(() => {
        take(observer.takeRecords());
        observer.disconnect();
        done(seen);
      }));
    });
    const name = (node) => node?.nodeType === 1
      ? node.tagName.toLowerCase() + (node.id ? '#' + node.id : '') + [...node.classList].map((c) => '.' + c).join('')
      : String(node?.nodeName ?? 'something that is gone');
    return {
      score: entries.reduce((sum, entry) => sum + entry.value, 0),
      shifts: entries.map((entry) => ({ value: entry.value, moved: entry.sources.map((source) => name(source.node)) })),
    };
  })()`);
}

/** Fails unless nothing on the page has moved by itself. */
export async function expectNoShift(page) {
  const { score, shifts } = await layoutShift(page);
  if (score === 0) return;
  const list = shifts.map(({ value, moved }) => `  ${value.toFixed(4)} ${moved.join(', ')}`);
  throw new Error(`${page.url()} shifts by ${score.toFixed(4)}:\n${list.join('\n')}`);
}

/**
 * Fails if the page is wider than the window, or a table than its frame: nobody scrolls sideways to read,
 * and what is out of sight at the end of a row is not found.
 */
export async function expectNoSidewaysScroll(page) {
  const { inner, outer, tables } = await look(page, `({
    inner: document.documentElement.scrollWidth,
    outer: document.documentElement.clientWidth,
    tables: [...document.querySelectorAll('.table-frame')]
      .filter((frame) => frame.scrollWidth > frame.clientWidth)
      .map((frame) => [frame.querySelector('caption')?.textContent, frame.scrollWidth, frame.clientWidth]),
  })`);
  if (inner > outer) throw new Error(`${page.url()} is ${inner} px wide in a window of ${outer} px`);
  for (const [name, wide, room] of tables) {
    throw new Error(`the table “${name}” of ${page.url()} is ${wide} px wide in a frame of ${room} px`);
  }
}
