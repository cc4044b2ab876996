"""A Next.js app: a template that has its packages, a page written into a sandbox of it, visited, changed, visited again."""

import re
import time
import urllib.error
import urllib.request

from e2b import Sandbox, Template, wait_for_port


def page(words):
    return "export default function Home() { return <h1>{'Hello from ' + '" + words + "'}</h1>; }"


def visit(url, words):
    """Next.js compiles a page when it is first asked for, and finds files that changed by itself."""
    for _ in range(60):
        try:
            with urllib.request.urlopen(url) as response:
                text = response.read().decode()
            if words in text:
                found = re.search("<h1>.*?</h1>", text)
                return f"{response.status} {found.group() if found else text}"
        except urllib.error.HTTPError:
            pass
        time.sleep(1)
    raise SystemExit(f"{url} never said {words}")


template = (
    Template()
    .from_node_image("24-slim")
    .set_workdir("/home/user/app")
    .set_envs({"NEXT_TELEMETRY_DISABLED": "1"})
    .run_cmd("mkdir -p pages/api")
    .npm_install(["next@15", "react@19", "react-dom@19"])
    .set_start_cmd("npx next dev", wait_for_port(3000))
)
Template.build(template, alias="nextjs-app", cpu_count=2, memory_mb=2048)

with Sandbox.create("nextjs-app", timeout=600) as sandbox:
    app = "/home/user/app"
    url = f"https://{sandbox.get_host(3000)}"
    sandbox.files.write(f"{app}/pages/api/sum.js", "export default (_, res) => res.json({ sum: 40 + 2 });")
    sandbox.files.write(f"{app}/pages/index.js", page("a sandbox"))
    print(visit(url, "Hello from a sandbox"))
    print(visit(f"{url}/api/sum", "sum"))
    sandbox.files.write(f"{app}/pages/index.js", page("another page"))
    print(visit(url, "Hello from another page"))
