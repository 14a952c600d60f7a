// The login form: a name, and no password. Consent is never asked for.

/** Serves `/interaction/{uid}`, and signs in who is named there. */
export function loginForm(state) {
  return async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next();
    const { provider } = state;
    const { prompt, params } = await provider.interactionDetails(ctx.req, ctx.res);
    if (prompt.name !== 'login') throw new Error(`unexpected prompt \`${prompt.name}\``);
    // `login_hint` saves a test without a browser the form.
    const login = ctx.method === 'POST' ? (await body(ctx.req)).get('login') : params.login_hint;
    if (login === 'cancel') {
      const refusal = { error: 'access_denied', error_description: 'the person said no' };
      return finish(ctx, provider, refusal);
    }
    if (login && state.accounts[login]) {
      return finish(ctx, provider, { login: { accountId: state.accounts[login].sub } });
    }
    ctx.status = login ? 422 : 200;
    ctx.type = 'html';
    ctx.body = page(login ? 'nobody of this name is known' : '');
  };
}

async function finish(ctx, provider, result) {
  ctx.respond = false;
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

const page = (complaint) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Provider</title><link rel="icon" href="data:,">
<h1>Sign in to the test provider</h1>
<form method="post">
<label>Login <input name="login" autofocus></label> <button>Sign in</button>
</form>
<form method="post"><button name="login" value="cancel">Cancel</button></form>
<p>${complaint}</p>`;

/** Signs out without asking, as providers do that were given an `id_token_hint`. */
export function logoutPage(ctx, form) {
  ctx.type = 'html';
  ctx.body = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign out</title><link rel="icon" href="data:,">
<h1>Sign out of the test provider</h1>
${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`;
}
