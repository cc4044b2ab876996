/** ClientHellos are hostile bytes: real ones are read however they are cut, odd ones refused, none throws. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { it } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import fc from 'fast-check';
import { readClientHello } from './clientHello.ts';

/** What Node's own TLS client sends first. */
async function realHello(options: ConnectionOptions): Promise<Buffer> {
  const sent = Promise.withResolvers<Buffer>();
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      sent.resolve(chunk);
      done();
    },
  });
  const client = connect({ socket, ...options });
  client.on('error', () => {});
  const hello = await sent.promise;
  client.destroy();
  return hello;
}

function withExtension(hello: Buffer, type: number, data: Buffer): Buffer {
  const sessionAt = 5 + 4 + 2 + 32;
  let at = sessionAt + 1 + (hello[sessionAt] ?? 0);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + (hello[at] ?? 0);
  const header = Buffer.alloc(4);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(data.length, 2);
  const made = Buffer.concat([hello, header, data]);
  made.writeUInt16BE(made.readUInt16BE(at) + data.length + 4, at);
  made.writeUIntBE(made.readUIntBE(6, 3) + data.length + 4, 6, 3);
  made.writeUInt16BE(made.readUInt16BE(3) + data.length + 4, 3);
  return made;
}

function serverName(...names: string[]): Buffer {
  const entries = Buffer.concat(
    names.map((name) => Buffer.concat([Buffer.from([0, 0, name.length]), Buffer.from(name, 'latin1')])),
  );
  return Buffer.concat([Buffer.from([0, entries.length]), entries]);
}

function reason(bytes: Buffer): string {
  const read = readClientHello(bytes);
  return read.state === 'refused' ? read.reason : read.state;
}

it('reads a real hello, and asks for more for every shorter part of it', async () => {
  const hello = await realHello({ servername: 'Api.Example.test', ALPNProtocols: ['h2', 'http/1.1'] });
  const read = readClientHello(Buffer.concat([hello, Buffer.from('later')]));
  assert.ok(read.state === 'hello');
  assert.deepEqual(
    [read.hello.serverName, read.hello.alpn, read.hello.bytes],
    ['api.example.test', ['h2', 'http/1.1'], hello.length],
  );
  for (let length = 0; length < hello.length; length += 1)
    assert.equal(readClientHello(hello.subarray(0, length)).state, 'more');
});

it('reads a hello that is split over records, and refuses one split too finely', async () => {
  const hello = await realHello({ servername: 'a.test' });
  const split = (size: number): Buffer => {
    const records: Buffer[] = [];
    for (let at = 5; at < hello.length; at += size) {
      const part = hello.subarray(at, at + size);
      records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
    }
    return Buffer.concat(records);
  };
  assert.equal(readClientHello(split(400)).state, 'hello');
  assert.match(reason(split(1)), /too many records/);
});

it('refuses ECH, a missing name, an address, a null byte, two names and what is no TLS', async () => {
  const named = await realHello({ servername: 'a.test' });
  const bare = await realHello({});
  assert.match(reason(withExtension(named, 0xfe0d, Buffer.alloc(8))), /ECH/);
  assert.match(reason(withExtension(named, 0xffce, Buffer.alloc(8))), /ECH/);
  assert.match(reason(withExtension(named, 0, serverName('b.test'))), /twice/);
  assert.match(reason(bare), /missing/);
  assert.match(reason(withExtension(bare, 0, serverName('127.0.0.1'))), /address/);
  for (const odd of ['evil.test\0.a.test', 'a.test.', 'a..test', '0x7f.1', 'a test', '\xe4.test'])
    assert.match(reason(withExtension(bare, 0, serverName(odd))), /no host name/, odd);
  assert.match(reason(withExtension(bare, 0, serverName('a.test', 'b.test'))), /more than one/);
  assert.match(reason(Buffer.from('GET / HTTP/1.1\r\n\r\n')), /no TLS/);
});

it('never throws and never names a host that the bytes do not hold', async () => {
  const hello = await realHello({ servername: 'a.test' });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }), (changes) => {
      const bytes = Buffer.from(hello);
      for (const [where, value] of changes) bytes[where % bytes.length] = value;
      const read = readClientHello(bytes);
      if (read.state === 'hello')
        assert.ok(bytes.toString('latin1').toLowerCase().includes(read.hello.serverName));
    }),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, second) => {
      readClientHello(Buffer.from(bytes), { second });
    }),
    { numRuns: 2000 },
  );
});
