"""Runs a command at a terminal of its own and types answers: terminal.py ANSWERS PROGRAM [ARGUMENT ..]

ANSWERS is a list of pairs in JSON; the second of a pair is typed once the first was printed after the answer before.
Prints {"code": .., "text": ..}: the exit code, and all that the terminal showed, which is COLUMNS wide. Gives up
after two minutes.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

answers = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, int(os.environ["COLUMNS"]), 0, 0))
text, answered, end = "", 0, time.monotonic() + 120
while time.monotonic() < end:
    if not select.select([terminal], [], [], 0.2)[0]:
        continue
    try:
        read = os.read(terminal, 65536)
    except OSError:  # The other end is closed.
        break
    if not read:
        break
    text += read.decode(errors="replace")
    if answers and answers[0][0] in text[answered:]:
        answered = len(text)
        os.write(terminal, answers.pop(0)[1].encode())
else:
    os.kill(pid, 9)
print(json.dumps({"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "text": text}))
