/** A git workflow: a change on a branch of a repository, reviewed as a diff, merged and pushed. */
import { Sandbox } from 'e2b';

const sandbox = await Sandbox.create();
try {
  const [remote, work] = ['/home/user/remote.git', '/home/user/work'];
  const run = async (command: string): Promise<string> =>
    (await sandbox.commands.run(command, { cwd: work })).stdout.trimEnd();
  await sandbox.commands.run(`git init --quiet --bare --initial-branch main ${remote}`);
  await sandbox.git.clone(`file://${remote}`, { path: work });
  await sandbox.git.configureUser('Ada', 'ada@example.com', { scope: 'local', path: work });
  await sandbox.files.write(`${work}/greeting.txt`, 'hello\n');
  await sandbox.git.add(work);
  await sandbox.git.commit(work, 'Say hello');
  await sandbox.git.push(work, { remote: 'origin', branch: 'main', setUpstream: true });
  await sandbox.git.createBranch(work, 'politer');
  await sandbox.files.write(`${work}/greeting.txt`, 'good morning\n');
  await sandbox.git.add(work);
  await sandbox.git.commit(work, 'Be politer');
  console.log(await run('git diff --unified=0 main politer | tail -n 2'));
  await sandbox.git.checkoutBranch(work, 'main');
  await run('git merge --quiet politer');
  await sandbox.git.push(work, { remote: 'origin', branch: 'main' });
  console.log(await run(`git --git-dir ${remote} log --format=%s main`));
} finally {
  await sandbox.kill();
}
