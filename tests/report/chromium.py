"""A headless Chromium, spoken to over a pipe, for tests that look at a page as a reader does."""

import base64
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from mfdask.report.browser import find_browser

#: Runs `each(element)` for all elements, in shadow trees too.
WALK = """
const walk = (node, each) => {
  for (const child of node.querySelectorAll("*")) {
    each(child);
    if (child.shadowRoot) walk(child.shadowRoot, each);
  }
};
"""
_INK = f"""(() => {{ {WALK}
  return Object.fromEntries([...document.querySelectorAll("figure")].map((figure) => {{
    let ink = 0;
    walk(figure, (element) => {{
      if (element.tagName === "TABLE") ink += element.textContent.length;
      if (element.tagName !== "CANVAS" || !element.width) return;
      const pixels = element.getContext("2d").getImageData(0, 0, element.width, element.height);
      for (let k = 3; k < pixels.data.length; k += 4) ink += pixels.data[k] > 0;
    }});
    return [figure.id, ink];
  }}));
}})()"""

_CUT = f"""(() => {{ {WALK}
  const parent = (node) => node.parentElement ?? node.getRootNode().host;
  const scrolls = (node, card) => {{
    for (let up = node; up && up !== card; up = parent(up))
      if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return true;
    return false;
  }};
  const cut = [];
  for (const card of document.querySelectorAll("figure")) {{
    const room = card.getBoundingClientRect();
    if (room.right > innerWidth + 1 || room.left < -1) cut.push(card.id);
    walk(card, (element) => {{
      if (!["CANVAS", "TABLE", "BUTTON", "SELECT", "P"].includes(element.tagName)) return;
      const box = element.getBoundingClientRect();
      const out = box.right > room.right + 1 || box.left < room.left - 1;
      if (out && box.width && !scrolls(element, card))
        cut.push(`${{card.id}} ${{element.tagName}}`);
    }});
  }}
  return cut;
}})()"""

_TEXT = f"""(() => {{ {WALK}
  const texts = [];
  walk(document, (element) => {{
    if (["STYLE", "SCRIPT"].includes(element.tagName)) return;
    for (const node of element.childNodes)
      if (node.nodeType === 3 && node.textContent.trim()) texts.push(node.textContent.trim());
  }});
  return texts.join("\\n");
}})()"""


class Chromium:
    """One page in a browser.

    Attributes
    ----------
    errors : list of str
        What the console has said as a warning or an error.
    requests : list of str
        Addresses that were asked for.
    """

    def __init__(self, width=1400, height=1000):
        self.errors, self.requests = [], []
        self._size = width, height
        self._calls = 0
        self._session = None
        self._unread = b""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        there, self._to = os.pipe()
        self._from, back = os.pipe()
        options = (
            "--headless=new --disable-gpu --no-sandbox --no-first-run --hide-scrollbars "
            f"--remote-debugging-pipe --user-data-dir={self._folder.name}"
        )
        command = f"exec {find_browser()} {options} about:blank 3<&{there} 4>&{back}"
        self._process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(there, back), stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(*self._size)
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._folder.cleanup()

    def call(self, method, **parameters):
        """Ask the browser, and return its answer."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._calls:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, place: Path | str, seconds=60):
        """Open a file or an address, and wait until all its figures are shown."""
        url = place if isinstance(place, str) else place.absolute().as_uri()
        self.call("Page.navigate", url=url)
        end = time.monotonic() + seconds
        while self.run("document.documentElement?.dataset.state") != "shown":
            assert time.monotonic() < end, f"not shown after {seconds} seconds: {self.errors}"
            time.sleep(0.1)
        time.sleep(0.5)  # the last figure is still being painted

    def run(self, script):
        """Return the value of an expression on the page."""
        said = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def ink(self):
        """Return how much each figure shows: pixels that are painted, or letters of a table."""
        return self.run(_INK)

    def cut(self):
        """Return what reaches out of its figure, or a figure out of the window."""
        return self.run(_CUT)

    def move(self, x, y):
        """Move the mouse."""
        for step in (-3, 0):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + step, y=y)
        time.sleep(0.3)

    def click(self, selector):
        """Click the first element that fits and is shown, in shadow trees too."""
        script = f"""(() => {{ {WALK}
          let place = null;
          walk(document, (element) => {{
            if (place || !element.matches({json.dumps(selector)})) return;
            element.scrollIntoView({{ block: "center" }});
            const box = element.getBoundingClientRect();
            if (box.width) place = [box.x + box.width / 2, box.y + box.height / 2];
          }});
          return place;
        }})()"""
        place = self.run(script)
        assert place, f"nothing fits {selector}"
        button = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **button)

    def drag(self, selector, across):
        """Drag the first element that fits so many pixels to the right."""
        place = self.run(f"""(() => {{ {WALK}
          let place = null;
          walk(document, (element) => {{
            if (place || !element.matches({json.dumps(selector)})) return;
            element.scrollIntoView({{ block: "center" }});
            const box = element.getBoundingClientRect();
            if (box.width) place = [box.x + box.width / 2, box.y + box.height / 2];
          }});
          return place;
        }})()""")
        assert place, f"nothing fits {selector}"
        x, y = place
        held = {"button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **held)
        for step in range(1, 6):
            at = x + across * step / 5
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=at, y=y, **held)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + across, y=y, **held)

    def write(self, text):
        """Type a text, sign by sign, into what has the focus."""
        for sign in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=sign, key=sign)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=sign)

    def press(self, key):
        """Press a key by its name, such as ``Tab``, ``Enter`` or ``ArrowRight``."""
        code = {"Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowLeft": 37}[key]
        said = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        if key == "Enter":
            said["text"] = "\r"
        self.call("Input.dispatchKeyEvent", type="keyDown", **said)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def text(self):
        """Return all texts of the page, in shadow trees too."""
        return self.run(_TEXT)

    def wait_for(self, true, seconds=20):
        """Wait until a script, or a text of the page, is so."""
        end = time.monotonic() + seconds
        while not (self.run(true) if true.startswith("(") else true in self.text()):
            assert time.monotonic() < end, f"not so after {seconds} s: {true}; {self.errors}"
            time.sleep(0.05)

    def resize(self, width, height):
        """Make the window another size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def prefer(self, ground):
        """Ask for a light or a dark page."""
        feature = {"name": "prefers-color-scheme", "value": ground}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        time.sleep(0.5)

    def picture(self, file: Path):
        """Write what is to be seen as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _read(self):
        while b"\0" not in self._unread:
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser has ended"
            self._unread += piece
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        said = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(said["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(said["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if said["type"] in ("error", "warning", "assert"):
                self.errors.append(json.dumps(said["args"]))
            case "Log.entryAdded" if said["entry"]["level"] in ("error", "warning"):
                self.errors.append(said["entry"]["text"])
