"""Calls each public method of E2B's Python SDK once, on the live server that the environment names; prints what became of it."""

import json
import tempfile

import e2b
from e2b import PtySize, Sandbox, Template

outcomes = {}


class Noted:
    """A class or an object whose calls are noted: did one ever come to a good end, else why not."""

    def __init__(self, target, shown):
        self.target, self.shown = target, shown

    def __getattr__(self, name):
        real = getattr(self.target, name)
        call = f"{self.shown}.{name}"

        def noted(*given, **named):
            try:
                result = real(*given, **named)
            except Exception as error:
                if outcomes.get(call) != "✓":
                    outcomes[call] = str(error)
                raise
            outcomes[call] = "✓"
            return result

        return noted


def tried(work):
    """What fails is noted, and is the table's to say; what an older version lacks is not there."""
    try:
        return work()
    except Exception:
        return None


def public(target, shown):
    for name in dir(target):
        if not name.startswith("_") and callable(getattr(target, name)):
            outcomes.setdefault(f"{shown}.{name}", "no test calls it")


def commands(real):
    box = Noted(real.commands, "commands")
    public(type(real.commands), "commands")
    cat = box.run("cat", background=True, stdin=True)
    public(type(cat), "CommandHandle")
    noted = Noted(cat, "CommandHandle")
    box.list()
    box.send_stdin(cat.pid, "one\n")
    tried(lambda: box.stream_input(cat.pid, ["two\n"]))
    tried(lambda: noted.send_stdin("three\n"))
    tried(lambda: noted.close_stdin())
    box.connect(cat.pid) if not hasattr(cat, "close_stdin") else tried(lambda: box.connect(cat.pid))
    box.kill(cat.pid)
    other = Noted(box.run("sleep 60", background=True), "CommandHandle")
    other.disconnect()
    other.kill()
    Noted(box.run("true", background=True), "CommandHandle").wait()
    filtering = box.run("cat", background=True, stdin=True)
    tried(lambda: box.close_stdin(filtering.pid))
    filtering.kill()


def files(real):
    box = Noted(real.files, "files")
    public(type(real.files), "files")
    box.write("a", "words")
    box.write_files([{"path": "b", "data": "words"}])
    box.read("a")
    box.list(".")
    box.make_dir("d")
    handle = box.watch_dir("d")
    public(type(handle), "WatchHandle")
    noted = Noted(handle, "WatchHandle")
    noted.get_new_events()
    noted.stop()
    box.rename("a", "d/a")
    box.exists("d/a")
    box.get_info("d/a")
    box.remove("d")


def terminals(real):
    box = Noted(real.pty, "pty")
    public(type(real.pty), "pty")
    pid = box.create(PtySize(rows=24, cols=80)).pid
    box.send_stdin(pid, b"true\n")
    tried(lambda: box.stream_input(pid, [b"true\n"]))
    box.resize(pid, PtySize(rows=30, cols=90))
    tried(lambda: box.connect(pid))
    box.kill(pid)


def git(real):
    box = Noted(real.git, "git")
    public(type(real.git), "git")
    path, remote = "/home/user/repository", "/home/user/remote.git"
    box.init(remote, bare=True, initial_branch="main")
    box.configure_user("Ada", "ada@example.com")
    box.init(path, initial_branch="main")
    box.remote_add(path, "origin", f"file://{remote}")
    box.remote_get(path, "origin")
    real.files.write(f"{path}/a", "a")
    box.add(path)
    box.commit(path, "first")
    box.push(path, remote="origin", branch="main")
    box.pull(path)
    box.clone(f"file://{remote}", path="/home/user/clone")
    box.create_branch(path, "next")
    box.checkout_branch(path, "main")
    box.branches(path)
    box.delete_branch(path, "next")
    real.files.write(f"{path}/a", "b")
    box.restore(path, paths=["a"])
    box.reset(path, mode="hard")
    box.status(path)
    box.set_config("pull.rebase", "false")
    box.get_config("pull.rebase")
    box.dangerously_authenticate(username="ada", password="secret", host="git.example.com")


IMAGE = "small:1"
IMAGE_CALLS = [f"from_{name}_image" for name in "debian ubuntu fedora alpine arch python node bun".split()]
# Calls that the SDK writes as `run_cmd` of a program that the template has to have.
RUN_CALLS = ["pip_install", "npm_install", "bun_install", "apt_install"]
STEPS = [
    ("copy", "a.txt", "/tmp/a.txt"),
    ("copy_items", [{"src": "a.txt", "dest": "/tmp/b.txt"}]),
    ("run_cmd", "test -e /tmp/a.txt"),
    ("make_dir", "folder"),
    ("rename", "/tmp/a.txt", "folder/a.txt"),
    ("make_symlink", "folder/a.txt", "link"),
    ("remove", "link"),
    ("set_envs", {"A": "b"}),
    ("set_user", "root"),
    ("set_workdir", "/srv"),
    ("run_cmd", "git init --bare --quiet /srv/repository"),
    ("git_clone", "file:///srv/repository", "/srv/clone"),
    ("set_start_cmd", "sleep infinity", "true"),
]


def templates():
    noted = Noted(Template, "Template")
    public(Template, "Template")
    folder = tempfile.mkdtemp()
    with open(f"{folder}/a.txt", "w") as file:
        file.write("words")

    def begun():
        return Template(file_context_path=folder)

    def note(calls, make, alias):
        try:
            Template.build(make(), alias=alias)
            became = "✓"
        except Exception as error:
            became = str(error)
        for call in calls:
            if call == "build" or hasattr(begun(), call) or hasattr(begun().from_base_image(), call):
                outcomes[f"Template.{call}"] = became

    def everything():
        template = begun().from_base_image()
        for method, *given in STEPS:
            template = getattr(template, method)(*given) or template
        return template

    note(["from_base_image", *[step[0] for step in STEPS], *RUN_CALLS], everything, "built-py")
    note(
        ["from_template", "skip_cache", "set_ready_cmd"],
        lambda: begun().from_template("built-py").skip_cache().run_cmd("true").set_ready_cmd("true"),
        "again-py",
    )
    note(["from_image", *IMAGE_CALLS], lambda: begun().from_image(IMAGE), "small-py")
    note(["from_dockerfile"], lambda: begun().from_dockerfile(f"FROM {IMAGE}\nENV A=b\n"), "file-py")
    note(["from_aws_registry"], lambda: begun().from_aws_registry(IMAGE, "a", "b", "c"), "other-py")
    note(["from_gcp_registry"], lambda: begun().from_gcp_registry(IMAGE, {}), "other-py")
    note(["add_mcp_server"], lambda: begun().from_template("mcp-gateway").add_mcp_server("exa"), "other-py")
    devcontainer = lambda: begun().from_template("devcontainer")
    prebuild = "beta_dev_container_prebuild"
    note([prebuild], lambda: getattr(devcontainer(), prebuild)("/x"), "other-py")
    start = "beta_set_dev_container_start"
    note([start], lambda: getattr(devcontainer(), start)("/x"), "other-py")

    plain = Template().from_base_image().run_cmd("true")
    tried(lambda: noted.to_json(plain))
    tried(lambda: noted.to_dockerfile(plain))
    tried(lambda: noted.build(begun().from_template("built-py"), alias="later-py"))
    info = tried(lambda: noted.build_in_background(begun().from_template("built-py"), alias="later-py"))
    tried(lambda: noted.get_build_status(info))
    tried(lambda: noted.exists("base"))
    tried(lambda: noted.alias_exists("base"))
    tried(lambda: noted.assign_tags("built-py:default", "stable"))
    tried(lambda: noted.get_tags("built-py"))
    tried(lambda: noted.remove_tags("built-py", "stable"))


def others():
    if not hasattr(e2b, "Secret"):
        return
    volume, secret = Noted(e2b.Volume, "Volume"), Noted(e2b.Secret, "Secret")
    public(e2b.Volume, "Volume")
    public(e2b.Secret, "Secret")
    made = Noted(volume.connect(volume.create("volume").volume_id), "Volume")
    made.make_dir("folder")
    made.write_file("folder/a", "words")
    made.read_file("folder/a")
    made.exists("folder/a")
    made.get_info("folder/a")
    made.update_metadata("folder/a", mode=0o600)
    made.list("folder")
    made.remove("folder")
    volume.get_info(made.target.volume_id)
    volume.list()
    volume.destroy(made.target.volume_id)
    tried(lambda: secret.create("SECRET", "value"))
    tried(lambda: secret.update("SECRET", "value"))
    tried(lambda: secret.get_info("SECRET"))
    pages = secret.list()
    try:
        pages.next_items()
    except Exception as error:
        outcomes["Secret.list"] = str(error)
    tried(lambda: secret.exists("SECRET"))
    tried(lambda: secret.destroy("SECRET"))
    secret.fill("SECRET")
    tried(lambda: secret.iam_token(audience="a", token_type="jwt"))


def life(kind, real):
    box = Noted(real, "Sandbox")
    box.get_host(80)
    box.is_running()
    box.upload_url("x")
    box.download_url("x")
    box.get_info()
    box.get_metrics()
    box.set_timeout(200)
    tried(lambda: box.update_network({"allow_internet_access": False}))
    box.get_mcp_url()
    tried(lambda: box.get_mcp_token())
    kind.list().next_items()
    tried(lambda: box.pause())
    box.connect(timeout=200)
    tried(lambda: box.beta_pause())
    kind.connect(real.sandbox_id, timeout=200)
    tried(lambda: [child.kill() for child in box.fork()])
    taken = tried(lambda: box.create_snapshot())
    tried(lambda: box.list_snapshots().next_items())
    tried(lambda: kind.delete_snapshot(taken.snapshot_id))
    tried(lambda: kind.beta_create(timeout=200).kill())
    box.kill()


def main():
    kind = Noted(Sandbox, "Sandbox")
    public(Sandbox, "Sandbox")
    real = kind.create(timeout=300)
    commands(real)
    files(real)
    terminals(real)
    if hasattr(real, "git"):
        git(real)
    templates()
    others()
    life(kind, real)
    print(json.dumps(outcomes))


main()
