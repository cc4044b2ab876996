/** Objects below one prefix of a bucket, through the official client; its credentials stay on this machine. */
import type { S3Client } from '@aws-sdk/client-s3';
import { Readable } from 'node:stream';
import { CasemateError } from '../../../sdk/typescript/src/index.ts';

/** A part of an upload, and the size from which on a file is sent in parts. */
export const partBytes = 8 * 1024 * 1024;
/** S3's own bound. */
const partsMax = 10_000;
/** Parts of one file that are on their way at once. */
const partsAtOnce = 4;

export interface BucketOptions {
  /** `s3://bucket/prefix` */
  readonly url: string;
  /** Where it is not Amazon's. */
  readonly endpoint?: string;
  readonly region?: string;
}

type Metadata = Record<string, string>;
type Sdk = typeof import('@aws-sdk/client-s3');

export class Bucket {
  readonly prefix: string;
  readonly #bucket: string;
  readonly #client: S3Client;
  readonly #sdk: Sdk;

  private constructor(bucket: string, prefix: string, client: S3Client, sdk: Sdk) {
    this.#bucket = bucket;
    this.prefix = prefix;
    this.#client = client;
    this.#sdk = sdk;
  }

  /** @throws CasemateError `invalid_request` */
  static async open({ url, endpoint, region }: BucketOptions): Promise<Bucket> {
    const [, bucket, path = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/s.exec(url) ?? [];
    if (bucket === undefined)
      throw new CasemateError('invalid_request', `${url} is not of the form s3://<bucket>/<prefix>.`);
    const prefix = path === '' || path.endsWith('/') ? path : `${path}/`;
    const sdk = await import('@aws-sdk/client-s3'); // slow to load: only where it is used
    const client = new sdk.S3Client({
      region: region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? 'us-east-1',
      ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
      // Many compatible servers know no other checksums; what matters is held against the manifest.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
    return new Bucket(bucket, prefix, client, sdk);
  }

  async put(key: string, body: Buffer, metadata: Metadata = {}): Promise<void> {
    const input = { Bucket: this.#bucket, Key: key, Body: body, Metadata: metadata };
    await this.#tried(key, this.#client.send(new this.#sdk.PutObjectCommand(input)));
  }

  /** In parts: nothing of it is there unless all of it is. */
  async putLarge(
    key: string,
    { size, body, metadata }: { size: number; body: AsyncIterable<Uint8Array>; metadata: Metadata },
  ): Promise<void> {
    const { Upload } = await import('@aws-sdk/lib-storage');
    const upload = new Upload({
      client: this.#client,
      params: {
        Bucket: this.#bucket,
        Key: key,
        Body: Readable.from(body, { objectMode: false }),
        Metadata: metadata,
      },
      partSize: Math.max(partBytes, Math.ceil(size / partsMax)),
      queueSize: partsAtOnce,
    });
    await this.#tried(key, upload.done());
  }

  /** @throws CasemateError `not_found` */
  async get(key: string): Promise<{ size: number; metadata: Metadata; body: Readable }> {
    const command = new this.#sdk.GetObjectCommand({ Bucket: this.#bucket, Key: key });
    const {
      ContentLength: size = 0,
      Metadata: metadata = {},
      Body,
    } = await this.#tried(key, this.#client.send(command));
    if (!(Body instanceof Readable)) throw new CasemateError('internal', `${key} came without a body.`);
    return { size, metadata, body: Body };
  }

  /** All keys below the prefix, with their sizes. */
  async *list(): AsyncGenerator<{ key: string; size: number }> {
    let after: string | undefined;
    do {
      const command = new this.#sdk.ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.prefix,
        ContinuationToken: after,
      });
      const page = await this.#tried(this.prefix, this.#client.send(command));
      for (const { Key = '', Size = 0 } of page.Contents ?? []) yield { key: Key, size: Size };
      after = page.NextContinuationToken;
    } while (after !== undefined);
  }

  close(): void {
    this.#client.destroy();
  }

  async #tried<Answer>(what: string, work: Promise<Answer>): Promise<Answer> {
    try {
      return await work;
    } catch (error) {
      if (error instanceof CasemateError) throw error; // of the body
      throw translated(error, `s3://${this.#bucket}/${what}`);
    }
  }
}

const missing = ['NoSuchBucket', 'NoSuchKey', 'NotFound'];
const denied = ['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'CredentialsProviderError'];

function translated(error: unknown, what: string): CasemateError {
  const { name = '', message = '' } = error instanceof Error ? error : {};
  if (missing.includes(name)) return new CasemateError('not_found', `${what}: ${name}`);
  if (denied.includes(name))
    return new CasemateError('forbidden', `${what}: ${message}`, {
      hint: 'Credentials are found as every tool of AWS finds them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws.',
    });
  return new CasemateError('node_unavailable', `${what}: ${name} ${message}`);
}
