// Answers that are not what they should be, as often as they were ordered.

import { read } from './keys.mjs';

/**
 * Falsifies the answers to a path, as told on the admin port.
 *
 * An order is `{path, times, status?, body?, id_token?, access_token?}`. `body` is merged into the
 * answer (`null` takes a member out); `id_token` and `access_token` are `{claims?, header?, key?, alg?}`:
 * the true token is signed anew with these in it.
 */
export function tampering(state) {
  return async (ctx, next) => {
    await next();
    const order = state.tampers.find((one) => one.path === ctx.path && one.times > 0);
    if (!order || ctx.status >= 400) return;
    order.times -= 1;
    const body = typeof ctx.body === 'string' ? JSON.parse(ctx.body) : { ...ctx.body };
    for (const name of ['id_token', 'access_token']) {
      if (order[name] && body[name]) body[name] = await resign(state, body[name], order[name]);
    }
    ctx.body = merge(body, order.body ?? {});
    if (order.status) ctx.status = order.status;
  };
}

async function resign(state, token, { claims = {}, header = {}, key, alg = state.settings.alg }) {
  const was = read(token);
  const { alg: _alg, kid: _kid, ...rest } = was.header;
  return state.sign({ claims: merge(was.claims, claims), header: { ...rest, ...header }, key, alg });
}

/** RFC 7396, one level deep. */
function merge(into, patch) {
  const merged = { ...into, ...patch };
  for (const [name, value] of Object.entries(merged)) if (value === null) delete merged[name];
  return merged;
}
