// Code in a page, beside it: in a world of its own, which the page's policy does not bind and the
// page's scripts do not see. So nothing has to be switched off in order to look.

const LOOK_MS_MAX = 30_000;

/**
 * Evaluates an expression in an isolated world of the page, and waits for its promise. `prelude` is
 * evaluated before it.
 */
export async function look(page, expression, { prelude } = {}) {
  const session = await page.context().newCDPSession(page);
  try {
    const { frameTree } = await session.send('Page.getFrameTree');
    const { executionContextId } = await session.send('Page.createIsolatedWorld', {
      frameId: frameTree.frame.id,
      worldName: 'tests',
    });
    if (prelude) await evaluate(session, executionContextId, `${prelude};0`);
    return await evaluate(session, executionContextId, expression);
  } finally {
    await session.detach();
  }
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
