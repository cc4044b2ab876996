/** Limits of bodies on hosts whose requests are read: what is too long is refused in words, in both versions of HTTP. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { missingForRange, type Player, Range } from './egress/range.ts';

describe('egress with limits of bodies', { skip: missingForRange() ?? false }, () => {
  const range = new Range();
  let player: Player;
  before(async () => {
    await range.open();
    player = await range.player();
  });
  after(() => range.close());

  const hosts = { '--http1.1': 'bodies.world.test', '--http2': 'h2bodies.world.test' } as const;
  type Version = keyof typeof hosts;
  const versions: readonly Version[] = ['--http1.1', '--http2'];
  const curl = (version: Version, path: string, ...args: string[]): ReturnType<Player['run']> =>
    player.run([
      ...['curl', '-sS', '-m', '20', version, '--cacert', player.trust, '-w', ' %{http_code}'],
      ...[...args, `https://${hosts[version]}${path}`],
    ]);
  const upload = async (version: Version, bytes: number, chunked: boolean): Promise<string> => {
    const source = chunked ? ['-T', '-', '-X', 'POST'] : ['--data-binary', '@-'];
    const words = ['curl', '-sS', '-m', '20', version, '--cacert', player.trust, '-w', "' %{http_code}'"];
    const command = [...words, ...source, `https://${hosts[version]}/up`].join(' ');
    return (await player.run(['sh', '-c', `head -c ${bytes} /dev/zero | ${command}`])).stdout;
  };

  for (const version of versions) {
    it(`a request whose body is too long is answered 413, told or not how long it is: ${version}`, async () => {
      await player.set([{ allow: [{ host: hosts[version], requestBytesMax: 50_000 }] }]);
      for (const chunked of [false, true]) {
        const fits = await upload(version, 50_000, chunked);
        assert.match(fits, /^served .* POST \/up 50000\n 200$/, fits);
        const since = range.events.length;
        const [body = '', status] = (await upload(version, 50_001, chunked)).split('\n');
        assert.equal(status, ' 413');
        const { code, host, rule, hint } = JSON.parse(body) as Record<string, string>;
        assert.deepEqual([code, host, rule], ['request_too_large', hosts[version], 'limit of bodies']);
        assert.match(hint ?? '', /50000 bytes/);
        if (chunked) continue; // an equal denial within a second is told once
        assert.equal((await range.denial(player, 'request_too_large', since)).method, 'POST');
      }
    });

    it(`an answer that is too long is refused or cut: ${version}`, async () => {
      await player.set([{ allow: [{ host: hosts[version], responseBytesMax: 50_000 }] }]);
      const fits = await curl(version, '/bytes/50000', '-o', '/dev/null');
      assert.equal(fits.stdout, ' 200', fits.stderr);
      const path = version === '--http2' ? '/bytes/100000' : '/pieces'; // of unknown length
      const since = range.events.length;
      const cut = await curl(version, path, '-o', '/dev/null');
      assert.notEqual(cut.code, 0);
      assert.equal((await range.denial(player, 'response_too_large', since)).path, path);
    });
  }

  it('an answer that tells its length is refused with 403 before it begins; HEAD is not', async () => {
    await player.set([{ allow: [{ host: hosts['--http1.1'], responseBytesMax: 50_000 }] }]);
    const [body = '', status] = (await curl('--http1.1', '/bytes/50001')).stdout.split('\n');
    assert.deepEqual([JSON.parse(body).code, status], ['response_too_large', ' 403']);
    assert.equal((await curl('--http1.1', '/bytes/50001', '-I', '-o', '/dev/null')).stdout, ' 200');
  });

  it('of several rules the widest that allows the request counts; of levels the narrowest', async () => {
    const host = hosts['--http1.1'];
    const wide = { host, requestBytesMax: 90_000 };
    await player.set([{ allow: [{ host, requestBytesMax: 10 }, wide] }, { allow: [{ host }] }]);
    assert.match(await upload('--http1.1', 80_000, false), / 200$/);
    await player.set([{ allow: [{ host }] }, { allow: [{ host, requestBytesMax: 10 }] }]);
    assert.match(await upload('--http1.1', 11, false), / 413$/);
    await player.set([{ allow: [{ host, requestBytesMax: 10, paths: ['/small'] }, wide] }]);
    assert.match(await upload('--http1.1', 80_000, false), / 200$/);
  });

  it('a WebSocket is refused where bodies are limited', async () => {
    await player.set([{ allow: [{ host: hosts['--http1.1'], responseBytesMax: 1000 }] }]);
    const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
    const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==';
    const answer = await curl('--http1.1', '/ws', ...[...upgrade, key].flatMap((line) => ['-H', line]));
    assert.equal(JSON.parse(answer.stdout.split('\n')[0] ?? '').code, 'protocol_not_allowed');
  });
});
