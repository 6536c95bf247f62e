"""Runs commands of the real AWS CLI, one after the other in one process: aws_commands.py < [[ARGUMENT, ..], ..]

Prints one line of JSON a command: {"code": .., "out": .., "err": ..}. A process each takes a second; its own entry
point called again and again (`create_clidriver().main`) is the same program.
"""

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver

driver = create_clidriver()
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = driver.main(arguments)
        except SystemExit as end:  # As the argument parser ends.
            code = end.code
    print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), flush=True)
