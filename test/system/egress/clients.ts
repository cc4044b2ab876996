/** The clients that people use, each with what it asks of the world and what it has to say then. */
import { type KitPart, kitFolder } from './clientKit.ts';
import { postgresPort } from './postgres.ts';

export interface EgressClient {
  readonly name: string;
  /** A name of its own, so that its flows are told apart; how it begins says which of the world's servers it is. */
  readonly host: string;
  /** With a port it speaks neither HTTP nor TLS from its first byte on, and nothing is terminated. */
  readonly port?: number;
  readonly protocol?: 'udp';
  readonly argv: readonly string[];
  /** All that it prints. */
  readonly says: string;
  readonly needs?: KitPart;
}

const curl = ['curl', '-sS', '-m', '30', '-w', '%{http_version}\n'];
const python = (program: string): string[] => ['python3', '-c', program.trim()];
const node = (program: string): string[] => ['node', '-e', program.trim()];
const shell = (program: string): string[] => ['sh', '-euc', program];
const npmCli = `node ${kitFolder}/node/node_modules/npm/bin/npm-cli.js`;

/** What the template has. */
const shipped: readonly EgressClient[] = [
  {
    name: 'curl in HTTP/1.1',
    host: 'curl.world.test',
    argv: [...curl, '--http1.1', 'https://curl.world.test/x'],
    says: 'served curl.world.test GET /x 0\n1.1\n',
  },
  {
    name: 'curl in HTTP/2',
    host: 'h2curl.world.test',
    argv: [...curl, '--http2', 'https://h2curl.world.test/x'],
    says: 'served h2 h2curl.world.test GET /x 0\n2\n',
  },
  {
    name: 'fetch of Node',
    host: 'fetch.world.test',
    argv: node(`
const post = { method: 'POST', body: 'x'.repeat(100_000) };
fetch('https://fetch.world.test/up', post).then((answer) => answer.text()).then((text) => process.stdout.write(text));`),
    says: 'served fetch.world.test POST /up 100000\n',
  },
  {
    name: 'git clone',
    host: 'git.world.test',
    argv: shell('cd $(mktemp -d); git clone -q https://git.world.test/probe.git; cat probe/README'),
    says: 'cloned\n',
  },
  {
    name: 'pip install',
    host: 'pypi.world.test',
    argv: shell(`cd $(mktemp -d)
pip install -q --disable-pip-version-check --no-cache-dir -i https://pypi.world.test/simple --target . casemate-probe
python3 -c 'import casemate_probe; print(casemate_probe.said)'`),
    says: 'installed by pip\n',
  },
  {
    name: 'UDP',
    host: 'udp.world.test',
    ...{ port: 5005, protocol: 'udp' },
    argv: python(`
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
s.connect(("udp.world.test", 5005)); s.send(b"hello"); print(s.recv(100).decode())`),
    says: 'hello\n',
  },
];

/** What is brought into it. */
const brought: readonly EgressClient[] = [
  {
    name: 'requests of Python',
    needs: 'python',
    host: 'requests.world.test',
    argv: python(`
import requests
print(requests.post("https://requests.world.test/up", data=b"x" * 100000).text, end="")`),
    says: 'served requests.world.test POST /up 100000\n',
  },
  {
    name: 'httpx of Python in HTTP/2',
    needs: 'python',
    host: 'h2httpx.world.test',
    argv: python(`
import httpx
answer = httpx.Client(http2=True).get("https://h2httpx.world.test/x")
print(answer.http_version, answer.text, end="")`),
    says: 'HTTP/2 served h2 h2httpx.world.test GET /x 0\n',
  },
  {
    name: 'aiohttp of Python',
    needs: 'python',
    host: 'aiohttp.world.test',
    argv: python(`
import aiohttp, asyncio
async def get(session, number):
  async with session.get("https://aiohttp.world.test/%d" % number) as answer: return await answer.text()
async def main():
  async with aiohttp.ClientSession() as session:
    for text in await asyncio.gather(*(get(session, number) for number in range(3))): print(text, end="")
asyncio.run(main())`),
    says: [0, 1, 2].map((number) => `served aiohttp.world.test GET /${number} 0\n`).join(''),
  },
  {
    name: 'WebSocket of Python',
    needs: 'python',
    host: 'websockets.world.test',
    argv: python(`
from websockets.sync.client import connect
with connect("wss://websockets.world.test/") as socket:
  socket.send("hello")
  print(socket.recv())`),
    says: 'echo hello\n',
  },
  {
    name: 'gRPC of Python',
    needs: 'python',
    host: 'grpc.world.test',
    argv: python(`
import grpc
channel = grpc.secure_channel("grpc.world.test:443", grpc.ssl_channel_credentials())
say = channel.unary_unary("/echo.Echo/Say", request_serializer=bytes, response_deserializer=bytes)
print(say(b"hello", timeout=30).decode())
talk = channel.stream_stream("/echo.Echo/Talk", request_serializer=bytes, response_deserializer=bytes)
print(*(part.decode() for part in talk(iter([b"a", b"b", b"c"]), timeout=30)))`),
    says: 'hello\na b c\n',
  },
  {
    name: 'undici in HTTP/2',
    needs: 'undici',
    host: 'h2undici.world.test',
    argv: node(`
const { Agent, request } = require('undici');
const dispatcher = new Agent({ allowH2: true });
request('https://h2undici.world.test/x', { dispatcher })
  .then(({ body }) => body.text()).then((text) => process.stdout.write(text, () => process.exit()));`),
    says: 'served h2 h2undici.world.test GET /x 0\n',
  },
  {
    name: 'WebSocket of Node',
    needs: 'ws',
    host: 'ws.world.test',
    argv: node(`
const WebSocket = require('ws');
const socket = new WebSocket('wss://ws.world.test/');
socket.on('open', () => socket.send('hello'));
socket.on('message', (data) => { console.log(String(data)); socket.close(); });`),
    says: 'echo hello\n',
  },
  {
    name: 'npm install',
    needs: 'npm',
    host: 'npm.world.test',
    argv: shell(`cd $(mktemp -d)
${npmCli} install --silent --no-audit --no-fund --no-update-notifier --registry https://npm.world.test/ casemate-probe
node -p 'require("casemate-probe")'`),
    says: 'installed by npm\n',
  },
  {
    name: 'psql',
    needs: 'psql',
    host: 'pg.world.test',
    port: postgresPort,
    argv: [
      `${kitFolder}/psql/psql`,
      ...[`host=pg.world.test port=${postgresPort} user=postgres sslmode=require`, '-Atc'],
      'select 6 * 7, ssl from pg_stat_ssl where pid = pg_backend_pid()',
    ],
    says: '42|t\n',
  },
];

export const egressClients = { shipped, brought } as const;
