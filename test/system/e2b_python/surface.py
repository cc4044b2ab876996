"""Calls each public method of E2B's Python SDK once, on the live server that the environment names; prints what became of it."""

import tempfile
import urllib.request
from urllib.parse import urlencode

import e2b
from e2b import PtySize
from noted import Noted, begin, client_calls, note, public, public_of, report, tried, waited


def nothing(*given):
    """For callbacks that the asynchronous half asks for."""


def commands(real, is_async):
    box = Noted(real.commands)
    public(type(real.commands))
    cat = box.run("cat", background=True, stdin=True)
    noted = Noted(cat)
    box.list()
    box.send_stdin(cat.pid, "one\n")
    tried(lambda: streamed(box, cat.pid, "two\n", is_async))
    tried(lambda: noted.send_stdin("three\n"))
    tried(lambda: noted.close_stdin())
    tried(lambda: box.connect(cat.pid))
    box.kill(cat.pid)
    other = Noted(box.run("sleep 60", background=True))
    other.disconnect()
    other.kill()
    Noted(box.run("true", background=True)).wait()
    filtering = box.run("cat", background=True, stdin=True)
    tried(lambda: box.close_stdin(filtering.pid))
    waited(filtering.kill())


def streamed(box, pid, text, is_async):
    """Input by a stream: of what an iterable yields, or in the asynchronous half by an object."""
    if not is_async:
        return box.stream_input(pid, [text])
    stream = Noted(box.stream_input(pid))
    stream.send(text)
    stream.close()


def files(real, is_async):
    box = Noted(real.files)
    public(type(real.files))
    box.write("a", "words")
    box.write_files([{"path": "b", "data": "words"}])
    box.read("a")
    box.list(".")
    box.make_dir("d")
    handle = Noted(box.watch_dir("d", nothing) if is_async else box.watch_dir("d"))
    if not is_async:
        handle.get_new_events()
    handle.stop()
    box.rename("a", "d/a")
    box.exists("d/a")
    box.get_info("d/a")
    box.remove("d")


def terminals(real, is_async):
    box = Noted(real.pty)
    public(type(real.pty))
    callbacks = [nothing] if is_async else []
    pid = box.create(PtySize(rows=24, cols=80), *callbacks).pid
    box.send_stdin(pid, b"true\n")
    tried(lambda: streamed(box, pid, b"true\n", is_async))
    box.resize(pid, PtySize(rows=30, cols=90))
    tried(lambda: box.connect(pid, *callbacks))
    box.kill(pid)


def git(real):
    box = Noted(real.git)
    public(type(real.git))
    path, remote = "/home/user/repository", "/home/user/remote.git"
    box.init(remote, bare=True, initial_branch="main")
    box.configure_user("Ada", "ada@example.com")
    box.init(path, initial_branch="main")
    box.remote_add(path, "origin", f"file://{remote}")
    box.remote_get(path, "origin")
    waited(real.files.write(f"{path}/a", "a"))
    box.add(path)
    box.commit(path, "first")
    box.push(path, remote="origin", branch="main")
    box.pull(path)
    box.clone(f"file://{remote}", path="/home/user/clone")
    box.create_branch(path, "next")
    box.checkout_branch(path, "main")
    box.branches(path)
    box.delete_branch(path, "next")
    waited(real.files.write(f"{path}/a", "b"))
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
# Answers every request on port 8000; of what the small templates have, perl alone can.
SERVER = """perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1);
while ($c = $s->accept) { print $c "HTTP/1.0 200 OK\\r\\n\\r\\n"; close $c }'"""
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
    ("set_start_cmd", SERVER, e2b.wait_for_port(8000)),
]




def templates(kind):
    noted = Noted(kind)
    builder = type(kind().from_base_image())
    public(builder)
    folder = tempfile.mkdtemp()
    with open(f"{folder}/a.txt", "w") as file:
        file.write("words")

    def begun():
        return kind(file_context_path=folder)

    def built(calls, make, alias, functions=()):
        calls = [f"template.{call}" for call in calls if hasattr(kind, call) or hasattr(builder, call)]
        if kind is e2b.Template:
            calls += [f"functions.{name}" for name in functions]
        tried(lambda: note(calls, lambda: kind.build(make(), alias=alias)))

    def everything():
        template = begun().from_base_image()
        for method, *given in STEPS:
            template = getattr(template, method)(*given) or template
        return template

    built(["from_base_image", *[step[0] for step in STEPS], *RUN_CALLS], everything, "built-py", ["wait_for_port"])
    built(
        ["from_template", "skip_cache", "set_ready_cmd"],
        lambda: begun()
        .from_template("built-py")
        .skip_cache()
        .run_cmd("true")
        .set_ready_cmd(e2b.wait_for_url("http://127.0.0.1:8000/")),
        "again-py",
        ["wait_for_url"],
    )
    built(["from_image", *IMAGE_CALLS], lambda: begun().from_image(IMAGE), "small-py")
    built(["from_dockerfile"], lambda: begun().from_dockerfile(f"FROM {IMAGE}\nENV A=b\n"), "file-py")
    built(["from_aws_registry"], lambda: begun().from_aws_registry(IMAGE, "a", "b", "c"), "other-py")
    built(["from_gcp_registry"], lambda: begun().from_gcp_registry(IMAGE, {}), "other-py")
    built(["add_mcp_server"], lambda: begun().from_template("mcp-gateway").add_mcp_server("exa"), "other-py")
    for call in ("beta_dev_container_prebuild", "beta_set_dev_container_start"):
        built([call], lambda: getattr(begun().from_template("devcontainer"), call)("/x"), "other-py")

    plain = kind().from_base_image().run_cmd("true")
    tried(lambda: noted.to_json(plain))
    tried(lambda: noted.to_dockerfile(plain))
    logger = e2b.default_build_logger(min_level="error")
    calls = ["Template.build", *(["functions.default_build_logger"] if kind is e2b.Template else [])]
    again = begun().from_template("built-py")
    tried(lambda: note(calls, lambda: kind.build(again, alias="later-py", on_build_logs=logger)))
    info = tried(lambda: noted.build_in_background(begun().from_template("built-py"), alias="later-py"))
    tried(lambda: noted.get_build_status(info))
    tried(lambda: noted.exists("base"))
    tried(lambda: noted.alias_exists("base"))
    tried(lambda: noted.assign_tags("built-py:default", "stable"))
    tried(lambda: noted.get_tags("built-py"))
    tried(lambda: noted.remove_tags("built-py", "stable"))


def volumes(kind):
    noted = Noted(kind)
    made = Noted(noted.connect(noted.create("volume").volume_id))
    made.make_dir("folder")
    made.write_file("folder/a", "words")
    made.read_file("folder/a")
    made.exists("folder/a")
    made.get_info("folder/a")
    made.update_metadata("folder/a", mode=0o600)
    made.list("folder")
    made.remove("folder")
    noted.get_info(made.target.volume_id)
    noted.list()
    noted.destroy(made.target.volume_id)


def secrets(kind):
    noted = Noted(kind)
    tried(lambda: noted.create("SECRET", "value"))
    tried(lambda: noted.update("SECRET", "value"))
    tried(lambda: noted.get_info("SECRET"))
    pages = Noted(noted.list())
    tried(lambda: pages.next_items())
    tried(lambda: noted.exists("SECRET"))
    tried(lambda: noted.destroy("SECRET"))
    noted.fill("SECRET")
    tried(lambda: noted.iam_token(audience="a", token_type="jwt"))


def functions(real):
    """What a ready command says is run in the sandbox; builds wait for the others."""
    real.commands.run("sleep 60", background=True)
    ready = {
        "wait_for_process": e2b.wait_for_process("sleep"),
        "wait_for_file": e2b.wait_for_file("/etc/passwd"),
        "wait_for_timeout": e2b.wait_for_timeout(1000),
    }
    for name, command in ready.items():
        tried(lambda: note([f"functions.{name}"], lambda: real.commands.run(Noted(command).get_cmd())))
    if hasattr(e2b, "get_signature"):
        tried(lambda: note(["functions.get_signature"], lambda: signed(real)))


def signed(real):
    made = e2b.get_signature("/etc/hostname", "read", "user", real._envd_access_token, 60)
    query = {"signature": made["signature"], "signature_expiration": made["expiration"]}
    with urllib.request.urlopen(f"{real.download_url('/etc/hostname', user='user').split('&signature')[0]}&{urlencode(query)}") as response:
        assert response.status == 200


def life(kind, real):
    box, id = Noted(real), real.sandbox_id
    box.get_host(80)
    box.is_running()
    box.upload_url("x")
    box.download_url("x")
    box.get_info()
    box.get_metrics()
    box.set_timeout(200)
    kind.get_info(id)
    kind.get_metrics(id)
    kind.set_timeout(id, 200)
    tried(lambda: box.update_network({"allow_internet_access": False}))
    tried(lambda: kind.update_network(id, {"allow_internet_access": False}))
    box.get_mcp_url()
    tried(lambda: box.get_mcp_token())
    Noted(kind.list()).next_items()
    for pause in (
        lambda: box.pause(),
        lambda: kind.pause(id),
        lambda: box.beta_pause(),
        lambda: kind.beta_pause(id),
    ):
        tried(pause)
        box.connect(timeout=200)
    kind.connect(id, timeout=200)
    tried(lambda: [waited(child.kill()) for child in [*box.fork(), *kind.fork(id)]])
    for taken in (tried(lambda: box.create_snapshot()), tried(lambda: kind.create_snapshot(id))):
        tried(lambda: Noted(box.list_snapshots()).next_items())
        tried(lambda: Noted(kind.list_snapshots()).next_items())
        tried(lambda: kind.delete_snapshot(taken.snapshot_id))
    tried(lambda: waited(kind.beta_create(timeout=200).kill()))
    kind.kill(kind.create(timeout=200).sandbox_id)
    box.kill()


def tour(half, sandbox, template, volume, secret):
    begin(half)
    public_of(e2b, "e2b.")
    kind, is_async = Noted(sandbox), half == "async"
    real = kind.create(timeout=300)
    commands(real, is_async)
    files(real, is_async)
    terminals(real, is_async)
    if hasattr(real, "git"):
        git(real)
    if not is_async:
        functions(real)
    templates(template)
    if volume is not None:
        volumes(volume)
        secrets(secret)
    life(kind, real)
    client_calls(e2b)


def of(name):
    return getattr(e2b, name, None)


tour("", e2b.Sandbox, e2b.Template, of("Volume"), of("Secret"))
tour("async", e2b.AsyncSandbox, e2b.AsyncTemplate, of("AsyncVolume"), of("AsyncSecret"))
report()
