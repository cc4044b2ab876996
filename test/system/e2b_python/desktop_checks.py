"""Uses a desktop by E2B's Python SDK on the live server that the environment names; prints what became of each call."""

import time
import urllib.request

import e2b_desktop
from e2b_desktop import Sandbox
from noted import Noted, begin, client_calls, public, public_of, report, tried


def until(what):
    for _ in range(200):
        result = tried(what)
        if result:
            return result
        time.sleep(0.3)
    raise AssertionError("never so")


def screen(desktop):
    assert tuple(desktop.get_screen_size()) == (1024, 768)
    assert bytes(desktop.screenshot())[1:4] == b"PNG"
    assert b"".join(desktop.screenshot("stream"))[1:4] == b"PNG"


def mouse(desktop):
    desktop.move_mouse(300, 400)
    assert tuple(desktop.get_cursor_position()) == (300, 400)
    desktop.left_click(310, 410)
    desktop.double_click()
    desktop.right_click()
    desktop.press("esc")
    desktop.middle_click()
    desktop.press("esc")
    desktop.scroll("up", 2)
    desktop.mouse_press("left")
    desktop.mouse_release("left")
    desktop.wait(100)
    desktop.drag((320, 420), (330, 430))
    assert tuple(desktop.get_cursor_position()) == (330, 430)


def windows(desktop):
    """An editor: what is typed into it and saved is what the file holds."""
    desktop.files.write("/home/user/notes.txt", "")
    desktop.open("/home/user/notes.txt")
    window = until(lambda: desktop.get_application_windows("mousepad"))[0]
    until(lambda: "notes.txt" in desktop.get_window_title(window))
    desktop.commands.run(f"xdotool windowactivate --sync {window}")
    until(lambda: "notes.txt" in desktop.get_window_title(desktop.get_current_window_id()))
    desktop.write("It's typed: $HOME")
    desktop.press(["ctrl", "s"])
    until(lambda: desktop.files.read("/home/user/notes.txt") == "It's typed: $HOME")
    desktop.launch("xfce4-terminal")
    until(lambda: desktop.get_application_windows("xfce4-terminal"))


def streams(stream):
    stream.start(require_auth=True)
    key = stream.get_auth_key()
    url = stream.get_url(auth_key=key)
    assert f"password={key}" in url, url
    with urllib.request.urlopen(url) as response:
        assert b"noVNC" in response.read()
    stream.stop()


begin("")
public_of(e2b_desktop, "e2b_desktop.")
kind = Noted(Sandbox)
real = kind.create(resolution=(1024, 768), dpi=96, timeout=600)
try:
    public(type(real.stream))
    desktop = Noted(real)
    for use in (screen, mouse, windows):
        use(desktop)
    streams(Noted(real.stream))
finally:
    real.kill()
if hasattr(Sandbox, "beta_create"):
    kind.beta_create(resolution=(800, 600), timeout=300).kill()
client_calls(e2b_desktop)
print("all found")
report()
