"""A long-running server: starts it inside, visits it by its preview URL, and finds it again from another client."""

import time
import urllib.error
import urllib.request

from e2b_code_interpreter import Sandbox


def visit(url):
    for _ in range(50):
        try:
            with urllib.request.urlopen(url) as response:
                return f"{response.status} {response.read().decode()}"
        except urllib.error.HTTPError as error:
            if error.code != 502:
                raise
            time.sleep(0.2)
    raise SystemExit("the server never answered")


with Sandbox.create(timeout=600) as sandbox:
    sandbox.files.write("site/index.html", "<h1>Hello from a sandbox</h1>")
    sandbox.commands.run("python3 -m http.server 3000 --directory site", background=True, timeout=0)
    print(visit(f"https://{sandbox.get_host(3000)}"))
    again = Sandbox.connect(sandbox.sandbox_id)
    running = again.commands.list()
    print(f"still there: {any('http.server' in ' '.join(process.args) for process in running)}")
