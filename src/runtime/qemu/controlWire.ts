/** What the root process asks the process that speaks to machines, and the names that both agree on. */

/** Names in a machine's control folder, which both QEMU and that process can write to. */
export const controlFile = {
  /** Listened on for QEMU, which comes back when it was cut off. */
  qmp: 'qmp',
  /** Listened on for the devices' state that QEMU sends. */
  saving: 'state-out',
  /** Where QEMU listens for its devices' state. */
  loading: 'state-in',
  /** The devices' state. */
  state: 'state',
} as const;

/** No devices' state comes near it: 0.4 MB is usual. */
export const stateBytesMax = 64 * 1024 * 1024;

export type QemuCommand = readonly [name: string, parameters?: object];

export type ControlRequest =
  /** From now on QEMU finds somebody to speak to. */
  | { readonly do: 'watch' }
  /** Sends them one after the other; done when all were answered well. */
  | { readonly do: 'commands'; readonly commands: readonly QemuCommand[] }
  /** Done when the guest's agent has opened its port. */
  | { readonly do: 'awaitPort'; readonly timeoutMs: number }
  /** Done when what is being sent, or received, has arrived. */
  | { readonly do: 'awaitMigration' }
  /** Has a layer take over what lies between it and another below it; done when nothing there is needed any more. */
  | { readonly do: 'flatten'; readonly node: string; readonly base: string }
  /** Writes the devices' state of a machine that stands still into the control folder. */
  | { readonly do: 'save' }
  /** Gives a machine that listens the state that lies in the control folder. */
  | { readonly do: 'load' }
  /** Lets a machine run (again). */
  | { readonly do: 'run' }
  /** Answers `panicked` where the guest's kernel has. */
  | { readonly do: 'ask' }
  | { readonly do: 'forget' };

/** One line of JSON. The answer is a line too: its number, `ok` or `failed`, and a few words. */
export interface ControlLine {
  readonly number: number;
  /** The machine's control folder. */
  readonly folder: string;
  readonly request: ControlRequest;
}

export const answerPattern = /^(\d{1,15}) (ok|failed)(?: (.{0,800}))?$/;
