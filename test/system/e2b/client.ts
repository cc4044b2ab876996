/** E2B's client object: the SDK's classes, bound to options. */
import type { ConnectionOpts } from 'e2b';
import type { Recorder } from './surface.ts';

type Sdk = Pick<typeof import('e2b'), 'E2B'>;

/** A year ago there was none. The environment has to name no key, so that what works does by the options. */
export async function clientCalls({ E2B }: Sdk, options: ConnectionOpts, recorder: Recorder): Promise<void> {
  if (E2B === undefined) return;
  delete process.env.E2B_API_KEY;
  const { Sandbox, Template, Volume, Secret } = new E2B(options);
  await recorder.note(['E2B.Sandbox'], () => Sandbox.list().nextItems());
  await recorder.note(['E2B.Template'], () => Template.exists('base'));
  await recorder.note(['E2B.Volume'], () => Volume.list());
  await recorder.note(['E2B.Secret'], () => Secret.exists('SECRET'));
}
