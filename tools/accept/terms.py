"""Names and words that all of the acceptance shares."""

from typing import Any

from emulators.procs import Failed
from emulators.stacks import BotoCoreError, ClientError

PREFIX = "streamseal-accept-"
TAG = "streamseal-accept"
REFUSED = (ClientError, BotoCoreError)
ONLY_AWS = "only AWS can answer"
# Seconds between two reads of CloudTrail's history: an account may read twice a second, and the function reads there
# too.
HISTORY_EVERY = 15

Json = dict[str, Any]


class Injected(Failed):
    """A failure that was asked for."""
