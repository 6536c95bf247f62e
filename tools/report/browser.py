"""Opens one local file in headless Chromium and does some steps with it, for the tests of the HTML report and its
picture.

    tools browser FILE < STEPS        (STEPS: a JSON list)

Prints one line of JSON: what each `evaluate` came to, and what the page did.

    {"size": [WIDTH, HEIGHT]}         the window's inner size, in CSS pixels; with "phone": true as a phone has it
    {"scheme": "dark"}                prefers-color-scheme; "light" is the default
    {"scripts": false}                the page again, with its scripts off
    {"media": "print"}                the media type; "screen" is the default
    {"evaluate": "JS"}                an expression, awaited; its value goes into "values"
    {"evaluate_file": PATH}           the same from a file, without its value
    {"press": "Tab"}                  a key, as a user presses it: Tab or Enter
    {"screenshot": PATH}              a PNG of the window; with "full": true of the whole page
    {"pdf": PATH}                     as it would be printed

"console" has what was written to the console, errors of the page and violations of its content security policy
included; "requests" has every URL that was asked for. Talks to Chromium through a pipe, so that no port is opened;
the browser ends with this process (emulators/procs.py). Exits with 3 where there is no Chromium.
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import sys
from typing import Any, NoReturn

from emulators.procs import Failed, Family

Json = dict[str, Any]

KEYS: dict[str, Json] = {"Tab": {"windowsVirtualKeyCode": 9}, "Enter": {"windowsVirtualKeyCode": 13, "text": "\r"}}
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing of the browser itself reaches the network either.
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--hide-scrollbars",
)
SECONDS = 180


class Browser:
    """A headless Chromium with one page, driven by its protocol over a pipe."""

    def __init__(self, family: Family, program: str):
        to_child, self.write = os.pipe()
        self.read, from_child = os.pipe()
        argv = [program, *QUIET, "--remote-debugging-pipe", f"--user-data-dir={family.folder}/profile", "about:blank"]
        # Chromium reads from 3 and writes to 4.
        shell = ["sh", "-c", f'exec "$@" 3<&{to_child} 4>&{from_child} 2>"$LOG"', "chromium", *argv]
        home = str(family.folder)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "TMPDIR": home,
            "LANG": "C.UTF-8",
            "LOG": f"{home}/chromium.log",
        }
        self.child = family.start("chromium", shell, env, pass_fds=(to_child, from_child), stdout=-3)
        os.close(to_child)
        os.close(from_child)
        self.waiting, self.count, self.loaded = b"", 0, False
        self.session: str | None = None
        self.console: list[Json] = []
        self.requests: list[str] = []

    def message(self) -> Json:
        """The next message of the browser's."""
        while b"\0" not in self.waiting:
            some = os.read(self.read, 1 << 20)
            if not some:
                raise Failed("chromium ended")
            self.waiting += some
        one, _, self.waiting = self.waiting.partition(b"\0")
        value: Json = json.loads(one)
        return value

    def call(self, method: str, **params: Any) -> Json:
        """The result of a method, once it has come; what comes before that is taken note of."""
        self.count += 1
        number = self.count
        call = {
            "id": number,
            "method": method,
            "params": params,
            **({"sessionId": self.session} if self.session else {}),
        }
        data = json.dumps(call).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        while True:
            message = self.message()
            if message.get("id") == number:
                if "error" in message:
                    raise Failed(f"{method}: {message['error']['message']}")
                result: Json = message["result"]
                return result
            self.take(message)

    def take(self, message: Json) -> None:
        """Notes what an event says of the page."""
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                text = details.get("exception", {}).get("description", details["text"])
                self.console.append({"level": "error", "text": text})
            case "Runtime.consoleAPICalled":
                text = " ".join(str(arg.get("value", arg.get("description", ""))) for arg in params["args"])
                self.console.append({"level": params["type"], "text": text})
            case "Log.entryAdded":
                self.console.append({"level": params["entry"]["level"], "text": params["entry"]["text"]})
            case "Page.loadEventFired":
                self.loaded = True

    def open(self, path: str) -> None:
        """Opens a local file, and returns when it has loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(1280, 900, False)
        self.media: Json = {"media": "screen", "features": [{"name": "prefers-color-scheme", "value": "light"}]}
        self.call("Emulation.setEmulatedMedia", **self.media)
        self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        while not self.loaded:
            self.take(self.message())

    def size(self, width: int, height: int, phone: bool) -> None:
        """Sets the window's inner size."""
        size: Json = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1}
        self.call("Emulation.setDeviceMetricsOverride", **size, mobile=phone)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failed(f"evaluate: {details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def step(self, step: Json, values: list[Any]) -> None:
        """Does one step; what it evaluates goes to `values`."""
        if "size" in step:
            width, height = step["size"]
            self.size(width, height, step.get("phone", False))
        if "scheme" in step:
            self.media["features"] = [{"name": "prefers-color-scheme", "value": step["scheme"]}]
            self.call("Emulation.setEmulatedMedia", **self.media)
        if "scripts" in step:
            self.call("Emulation.setScriptExecutionDisabled", value=not step["scripts"])
            self.loaded = False
            self.call("Page.reload")
            while not self.loaded:
                self.take(self.message())
        if "media" in step:
            self.media["media"] = step["media"]
            self.call("Emulation.setEmulatedMedia", **self.media)
        if "press" in step:
            key = {"key": step["press"], "code": step["press"], **KEYS[step["press"]]}
            self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            self.call("Input.dispatchKeyEvent", type="keyUp", **key)
        if "evaluate_file" in step:
            self.evaluate(pathlib.Path(step["evaluate_file"]).read_text() + ";undefined")
        if "evaluate" in step:
            values.append(self.evaluate(step["evaluate"]))
        if "screenshot" in step:
            shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=step.get("full", False))
            pathlib.Path(step["screenshot"]).write_bytes(base64.b64decode(shot["data"]))
        if "pdf" in step:
            self.call("Emulation.setEmulatedMedia", media="", features=[])
            paper = {"paperWidth": 8.27, "paperHeight": 11.69}
            pdf = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True, **paper)
            pathlib.Path(step["pdf"]).write_bytes(base64.b64decode(pdf["data"]))
            self.call("Emulation.setEmulatedMedia", **self.media)


def _late(*_: object) -> NoReturn:
    sys.exit("browser: it took too long")


def main() -> None:
    """Opens the file that the argument names, and does the steps of standard input."""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        print("browser: no Chromium here (Debian: apt-get install chromium)", file=sys.stderr)
        sys.exit(3)
    steps = json.load(sys.stdin)
    with Family() as family:
        browser = Browser(family, program)
        browser.open(sys.argv[1])
        values: list[Any] = []
        for step in steps:
            browser.step(step, values)
        print(json.dumps({"values": values, "console": browser.console, "requests": browser.requests}))
