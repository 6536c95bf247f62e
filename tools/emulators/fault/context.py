"""What all of the fault layer shares: the emulators, the account, the configuration, the clock."""

import time

from emulators.fault.messages import Upstream
from emulators.fault.plan import Plan


class Context:
    """Where calls go on to, as whom, by which configuration, and when."""

    def __init__(self, kinesis: str, aws: str, account: str, region: str, plan: Plan):
        self.kinesis, self.aws = Upstream(kinesis), Upstream(aws)
        self.account, self.region, self.plan = account, region, plan
        self.stopped_at: float | None = None

    def now(self) -> float:
        """The time. Once a test has stopped it, what is measured by it does not depend on how fast this machine is."""
        return time.time() if self.stopped_at is None else self.stopped_at

    def arn(self, service: str, what: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{what}"
