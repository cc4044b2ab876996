"""Builds a template with E2B's Python SDK on the live server that the environment names, and starts a sandbox of it."""

import os

from e2b import BuildException, Sandbox, Template, wait_for_file

folder = os.environ["TEMPLATE_FOLDER"]


def builds():
    template = (
        Template(file_context_path=folder)
        .from_base_image()
        .copy("app", "/opt/app")
        .set_envs({"GREETING": "from Python"})
        .set_workdir("/opt/app")
        .run_cmd("cat main.py | wc -l > /tmp/lines")
        .set_start_cmd("touch /tmp/up; exec sleep infinity", wait_for_file("/tmp/up"))
    )
    lines = []
    built = Template.build(template, alias="python-app", on_build_logs=lines.append)
    assert any("RUN cat main.py" in line.message for line in lines), lines
    status = Template.get_build_status(built)
    assert getattr(status.status, "value", status.status) == "ready", status
    with Sandbox.create("python-app", timeout=60) as sandbox:
        said = sandbox.commands.run("cat /tmp/lines; ls; echo $GREETING; test -e /tmp/up").stdout
        assert said == "1\ndeep\nlink.py\nmain.py\nfrom Python\n", said


def fails():
    template = Template().from_template("python-app").run_cmd("exit 5")
    try:
        Template.build(template, alias="python-app")
    except BuildException as error:
        assert "ended with 5" in str(error), error
    else:
        raise AssertionError("the build did not fail")


for check in (builds, fails):
    check()
    print("ok", check.__name__)
