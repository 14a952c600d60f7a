// Code in a page, beside it: in a world of its own, which the page's policy does not bind and the
// page's scripts do not see. So nothing has to be switched off in order to look.

const LOOK_MS_MAX = 30_000;

/** The session of each page: what was put into its world once is there until the page is left. */
const sessions = new WeakMap();

/**
 * Evaluates an expression in an isolated world of the page, and waits for its promise. `prelude` is
 * `{name, code}`: the code is evaluated before it, unless that world has something of that name.
 */
export async function look(page, expression, { prelude } = {}) {
  if (!sessions.has(page)) sessions.set(page, page.context().newCDPSession(page));
  const session = await sessions.get(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId } = await session.send('Page.createIsolatedWorld', {
    frameId: frameTree.frame.id,
    worldName: 'tests',
  });
  if (prelude && !await evaluate(session, executionContextId, `'${prelude.name}' in globalThis`)) {
    await evaluate(session, executionContextId, `${prelude.code};0`);
  }
  return evaluate(session, executionContextId, expression);
}

async function evaluate(session, contextId, expression) {
  let limit;
  // Where scripts are off, a promise that waits for a timer or a frame is never settled.
  const late = new Promise((_, failed) => {
    const error = new Error(`not settled after ${LOOK_MS_MAX} ms: ${expression.slice(0, 200)}`);
    limit = setTimeout(() => failed(error), LOOK_MS_MAX);
  });
  const evaluated = session.send('Runtime.evaluate', {
    expression, contextId, awaitPromise: true, returnByValue: true,
  });
  const { result, exceptionDetails } = await Promise.race([evaluated, late]).finally(() => clearTimeout(limit));
  if (exceptionDetails) {
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }
  return result.value;
}
