"""Runs commands of the real AWS CLI, one after the other in one process: aws_commands.py < [[ARGUMENT, ..], ..]

Prints one line of JSON a command: {"code": .., "out": .., "err": ..}. A process each takes a second; its own entry
point called again and again (`create_clidriver().main`) is the same program. A command may be {"arguments": [..],
"variables": {..}}: then it has these variables and no others, and a driver that has read them.
"""

import contextlib
import io
import json
import os
import sys

from awscli.clidriver import create_clidriver

driver, known = create_clidriver(), None
for command in json.load(sys.stdin):
    arguments = command
    if isinstance(command, dict):
        arguments = command["arguments"]
        # Where its own files are, which it says at its start.
        kept = {name: value for name, value in os.environ.items() if name == "AWS_DATA_PATH"}
        os.environ.clear()
        os.environ.update(kept | command["variables"])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if isinstance(command, dict) and command["variables"] != known:
                driver, known = create_clidriver(), command["variables"]
            code = driver.main(arguments)
        except SystemExit as end:  # As the argument parser ends.
            code = end.code
        except Exception as error:  # Whatever it is, it is the answer.
            code, _ = 255, err.write(str(error))
    print(
        json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}),
        flush=True,
    )
