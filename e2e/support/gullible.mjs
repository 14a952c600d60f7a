// A server that believes everybody: the attacks are held against it, so that it is known what they
// can do where nothing stops them.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

/** RFC 6455, 1.3. */
const WEBSOCKET = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** To everybody what they came for, by `Sec-Fetch-Dest`. */
const ANSWERS = {
  document: ['text/html', 'the secret of the victim'],
  image: ['image/gif', Buffer.from('R0lGODlhAQABAAAAACwAAAAAAQABAAA=', 'base64')],
  script: ['text/javascript', 'globalThis.stolen = 1;'],
  style: ['text/css', 'body { --stolen: 1 }'],
  stream: ['text/event-stream', 'data: the secret of the victim\n\n'],
};

/** Starts it. Gives `{url, received, stop}`; `received` are `{method, path, body, cookie, type}`. */
export async function startGullible() {
  const received = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    if (request.method !== 'OPTIONS') {
      received.push({
        method: request.method,
        path: request.url,
        type: request.headers['content-type'] ?? '',
        override: request.headers['x-http-method-override'],
        cookie: request.headers.cookie ?? '',
        body: Buffer.concat(chunks).toString(),
      });
    }
    const origin = request.headers.origin;
    const [type, body] = ANSWERS[request.headers['sec-fetch-dest']]
      ?? (request.headers.accept === 'text/event-stream' ? ANSWERS.stream : ANSWERS.document);
    response.writeHead(200, {
      'content-type': type,
      'set-cookie': ['lax=1; Path=/; SameSite=Lax; HttpOnly', 'strict=1; Path=/; SameSite=Strict', 'none=1; Path=/; SameSite=None; Secure'],
      ...(origin && {
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
        'access-control-allow-headers': 'content-type, x-http-method-override',
      }),
    });
    if (request.method === 'OPTIONS') response.end();
    else response.end(body);
  });
  const sockets = new Set();
  server.on('connection', (socket) => sockets.add(socket));
  server.on('upgrade', (request, socket) => {
    received.push({ method: 'WebSocket', path: request.url, cookie: request.headers.cookie ?? '' });
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${WEBSOCKET}`).digest('base64');
    socket.end(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    received,
    stop: () => {
      // Those that became WebSockets are none of the server's any more.
      for (const socket of sockets) socket.destroy();
      return new Promise((done) => server.close(done));
    },
  };
}
