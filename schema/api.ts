/** The contract of the native API: one schema for every body, query and answer; requests are validated with these. */
export * from './access.ts';
export * from './common.ts';
export * from './exec.ts';
export * from './files.ts';
export * from './host.ts';
export * from './sandbox.ts';
