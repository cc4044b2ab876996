/** The peer of a passed-through flow: the least that Node can do, `pipe` both ways, without a look at what passes. */
import { connect, createServer } from 'node:net';

const [port = '', address = '', upstreamPort = ''] = process.argv.slice(2);
createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const upstream = connect({
    host: address,
    port: Number(upstreamPort),
    noDelay: true,
    allowHalfOpen: true,
  });
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
  client.once('close', () => upstream.destroy());
  upstream.once('close', () => client.destroySoon());
  client.pipe(upstream);
  upstream.pipe(client);
}).listen(Number(port), '0.0.0.0', 1024);
