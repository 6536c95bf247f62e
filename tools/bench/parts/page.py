"""How fast the HTML report of an audit opens and sorts in a browser."""

import json
import pathlib
import subprocess

from bench.table import say
from emulators.client import PYTHON
from emulators.procs import Failed

# The exit code of `browser` where there is none.
NO_BROWSER = 3
OPENED = "performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
# Until it is drawn.
SORTED = """(async () => {
  const from = performance.now();
  document.querySelector("th.col-%s button").click();
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  return (performance.now() - from) / 1000;
})()"""
COLUMNS = ("stream", "why", "rule", "key", "state")


def opened(page: pathlib.Path) -> tuple[int, float, float] | None:
    """The rows of a report, the seconds until it is open, and those of the slowest column to sort."""
    steps = [{"evaluate": OPENED}, *({"evaluate": SORTED % column} for column in COLUMNS)]
    rows = "JSON.parse(document.getElementById('data').textContent).evidence.length"
    steps.append({"evaluate": rows})
    argv = [*PYTHON, "browser", str(page)]
    ended = subprocess.run(argv, input=json.dumps(steps), text=True, capture_output=True)
    if ended.returncode == NO_BROWSER:
        say("LEFT OUT: the report was not opened in a browser")
        return None
    if ended.returncode != 0:
        raise Failed(f"browser: {ended.stderr}")
    seconds, *sorts, count = json.loads(ended.stdout)["values"]
    return count, seconds, max(sorts)
