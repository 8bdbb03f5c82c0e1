# needs: node
# limit: 120
# A web server in node and its own client, with streams and many connections at once.
cat >main.js <<'J'
const http = require('http'), net = require('net'), dgram = require('dgram');
const server = http.createServer((req, res) => {
  let n = 0;
  req.on('data', d => n += d.length);
  req.on('end', () => res.end(`${req.method} ${req.url} ${n}`));
});
const get = (port, path, body) => new Promise((done, failed) => {
  const r = http.request({ host: '127.0.0.1', port, path, method: body ? 'POST' : 'GET' }, res => {
    let text = '';
    res.on('data', d => text += d);
    res.on('end', () => done(text));
  });
  r.on('error', failed);
  r.end(body);
});
server.listen(0, '127.0.0.1', async () => {
  const port = server.address().port;
  console.log(await get(port, '/one'));
  console.log(await get(port, '/two', Buffer.alloc(1 << 20)));
  const all = await Promise.all([...Array(50).keys()].map(i => get(port, `/${i}`)));
  console.log(all.length, all[49]);
  server.close();
  await get(port, '/gone').catch(e => console.log(e.code));
  const a = dgram.createSocket('udp4'), b = dgram.createSocket('udp4');
  a.on('message', (m, from) => { console.log(String(m), from.address); a.close(); b.close(); });
  a.bind(0, '127.0.0.1', () => b.send('datagram', a.address().port, '127.0.0.1'));
});
J
node main.js
