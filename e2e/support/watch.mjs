// What goes wrong in a page without anybody looking: scripts that throw, breaches of the page's own
// policy, answers that fail, requests to other hosts.

/**
 * Watches a page from now on; call it before the first `goto`. `problems()` are lines of words.
 * `expectNone({except})` fails if there are any; `except` are patterns of what a test provokes.
 */
export async function watch(page) {
  const found = [];
  const home = {};
  const session = await page.context().newCDPSession(page);
  session.on('Audits.issueAdded', ({ issue }) => {
    const details = issue.details.contentSecurityPolicyIssueDetails;
    if (!details) return;
    const where = details.sourceCodeLocation?.url ?? details.blockedURL ?? '';
    found.push(`policy: ${details.violatedDirective} ${details.contentSecurityPolicyViolationType} ${where}`);
  });
  await session.send('Audits.enable');
  page.on('console', (message) => {
    if (message.type() === 'error' || /content security policy/i.test(message.text())) {
      found.push(`console: ${message.text()}`);
    }
  });
  page.on('pageerror', (error) => found.push(`script: ${error.message}`));
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    // Leaving a page ends what it was still waiting for. Where scripts are off, the browser says so of
    // each as `csp`; a breach of a policy is noted above.
    if (why !== 'net::ERR_ABORTED' && why !== 'csp') found.push(`request: ${request.method()} ${request.url()} ${why}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) found.push(`answer: ${response.status()} ${response.request().method()} ${response.url()}`);
  });
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (!protocol.startsWith('http')) return;
    home.origin ??= origin;
    if (origin !== home.origin && !home.others?.includes(origin)) {
      found.push(`another host: ${request.url()}`);
    }
  });
  return {
    /** Origins beside the first that are no surprise, such as that of the identity provider. */
    expectOrigins(...origins) { home.others = origins; },
    problems: () => [...found],
    /** Forgets what was found so far: the next page begins. */
    forget() { found.length = 0; },
    expectNone({ except = [] } = {}) {
      const rest = found.filter((line) => !except.some((pattern) => pattern.test(line)));
      if (rest.length > 0) throw new Error(`${page.url()}:\n  ${rest.join('\n  ')}`);
    },
    /** Fails unless no policy of a page was breached. */
    expectNoBreach() {
      const rest = found.filter((line) => /^policy:|content security policy/i.test(line));
      if (rest.length > 0) throw new Error(`${page.url()}:\n  ${rest.join('\n  ')}`);
    },
  };
}
