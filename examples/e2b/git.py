"""A git workflow: a change on a branch of a repository, reviewed as a diff, merged and pushed."""

from e2b import Sandbox

REMOTE, WORK = "/home/user/remote.git", "/home/user/work"

with Sandbox.create() as sandbox:
    git = sandbox.git

    def run(command):
        return sandbox.commands.run(command, cwd=WORK).stdout.rstrip()

    sandbox.commands.run(f"git init --quiet --bare --initial-branch main {REMOTE}")
    git.clone(f"file://{REMOTE}", path=WORK)
    git.configure_user("Ada", "ada@example.com", scope="local", path=WORK)
    sandbox.files.write(f"{WORK}/greeting.txt", "hello\n")
    git.add(WORK)
    git.commit(WORK, "Say hello")
    git.push(WORK, remote="origin", branch="main", set_upstream=True)
    git.create_branch(WORK, "politer")
    sandbox.files.write(f"{WORK}/greeting.txt", "good morning\n")
    git.add(WORK)
    git.commit(WORK, "Be politer")
    print(run("git diff --unified=0 main politer | tail -n 2"))
    git.checkout_branch(WORK, "main")
    run("git merge --quiet politer")
    git.push(WORK, remote="origin", branch="main")
    print(run(f"git --git-dir {REMOTE} log --format=%s main"))
