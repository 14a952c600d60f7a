// Screenshots for the documents. They are written only when they are asked for
// (`e2e/run --screenshots`): a check leaves the tree as it was.

import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../../docs/images/', import.meta.url));
const BYTES_MAX = 150_000;

/** How large a window is in a picture: what is in it can be read where a document shows it. */
const WINDOW = { width: 1440, height: 660 };

/** Takes a picture of a page. It is taken always, and written to `docs/images` if wanted. */
export async function shoot(page, name) {
  const before = page.viewportSize();
  await page.setViewportSize(WINDOW);
  const image = await page.screenshot({ type: 'png', scale: 'css', animations: 'disabled', caret: 'hide' });
  await page.setViewportSize(before);
  if (image.length > BYTES_MAX) {
    throw new Error(`the screenshot ${name} has ${image.length} bytes, and may have ${BYTES_MAX}: show less`);
  }
  if (process.env.CLAVIGER_E2E_SCREENSHOTS !== '1') return;
  await mkdir(FOLDER, { recursive: true });
  await writeFile(`${FOLDER}${name}.png`, image);
}
