/** Shapes of what a sandbox has used over time. */
import { type TString, Type } from '@sinclair/typebox';

const Time = Type.String({ description: 'ISO 8601, UTC' });
const Count = Type.Integer({ minimum: 0 });

function pointInTime(bounds: string): TString {
  return Type.String({
    pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?(Z|[+-]\\d{2}:\\d{2})$',
    description: `ISO 8601; ${bounds}`,
  });
}

export const UsageQuery = Type.Object(
  {
    start: Type.Optional(pointInTime('no samples before it')),
    end: Type.Optional(pointInTime('no samples after it')),
  },
  { additionalProperties: false },
);
export const UsageSample = Type.Object(
  {
    at: Time,
    cpuPercent: Type.Number({
      minimum: 0,
      description: 'Of one processor, since the sample before: two busy processors are 200',
    }),
    memoryBytes: Count,
    memoryLimitBytes: Count,
    diskBytes: Count,
    diskLimitBytes: Count,
    pids: Count,
  },
  { $id: 'UsageSample' },
);
export const UsageHistory = Type.Object({ items: Type.Array(UsageSample) }, { $id: 'UsageHistory' });
