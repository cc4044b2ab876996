/** One POST to an address that a tenant named: public addresses alone, no redirects, nothing read but the status. */
import { lookup } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { limits } from '../base/limits.ts';
import { parseAddress, reachOf } from '../policy/address.ts';

export interface WebhookMessage {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface PostOptions {
  /** Whether addresses count that are not public. */
  readonly anyAddress: boolean;
  readonly signal: AbortSignal;
}

/** @throws Error that says what went wrong on the way */
export function post(
  address: string,
  message: WebhookMessage,
  options: PostOptions,
): Promise<{ status: number }> {
  const url = new URL(address);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!options.anyAddress && isIP(host) !== 0 && !isPublic(host)) return Promise.reject(notPublic(host));
  const make = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = make(
      url,
      {
        method: 'POST',
        headers: { ...message.headers, 'content-length': Buffer.byteLength(message.body) },
        agent: false, // a connection of its own: a name may lead elsewhere the next time
        signal: AbortSignal.any([options.signal, AbortSignal.timeout(limits.webhookAnswerMsMax)]),
        ...(options.anyAddress ? {} : { lookup: publicLookup }),
      },
      (answer) => {
        resolve({ status: answer.statusCode ?? 0 });
        answer.destroy();
      },
    );
    sent.once('error', reject);
    sent.end(message.body);
  });
}

function isPublic(text: string): boolean {
  const address = parseAddress(text);
  return address !== undefined && reachOf(address) === 'public';
}

function notPublic(host: string): Error {
  return new Error(`${host} is not public: an administrator's key makes webhooks for such addresses.`);
}

/** What is checked is what is connected to. */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, found) => {
    if (error !== null) return callback(error, []);
    const open = found.filter(({ address }) => isPublic(address));
    const [first] = open;
    if (first === undefined) return callback(notPublic(hostname), []);
    if (options.all === true) callback(null, open);
    else callback(null, first.address, first.family);
  });
};
