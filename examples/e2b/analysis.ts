/** Data analysis: uploads a table, lets code in the sandbox summarise and draw it, and saves the chart. */
import { writeFileSync } from 'node:fs';
import { Sandbox } from '@e2b/code-interpreter';

const sales = 'month,units\nJan,120\nFeb,90\nMar,150\nApr,210\n';
const code = `
import matplotlib.pyplot as plt
import pandas as pd

table = pd.read_csv("/home/user/sales.csv")
plt.bar(table["month"], table["units"])
plt.title("Units sold")
plt.show()
int(table["units"].sum())
`;

const sandbox = await Sandbox.create();
try {
  await sandbox.files.write('/home/user/sales.csv', sales);
  const execution = await sandbox.runCode(code);
  if (execution.error !== undefined) throw new Error(execution.error.traceback);
  const chart = execution.results.find((result) => result.png !== undefined);
  writeFileSync('chart.png', Buffer.from(chart?.png ?? '', 'base64'));
  console.log(`${execution.text} units, "${chart?.chart?.title}" in chart.png`);
} finally {
  await sandbox.kill();
}
