"""Removes everything that has a run's prefix."""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from accept.terms import TAG
from emulators.stacks import Account, ClientError, code, gone


class Removal:
    """Removes what one run left; each part may be tried again and again."""

    def __init__(self, aws: Account, prefix: str, keys: Iterable[str]):
        self.aws, self.prefix, self.keys = aws, prefix, set(keys)
        self.groups: set[str] = set()
        self.left: list[str] = []

    def all(self) -> list[str]:
        """Removes everything; what could not be removed, in words."""
        # The function first, so that nothing acts on what goes.
        self.remove("the stack", self.stack)
        self.remove("its log", self.log_groups)
        self.remove("the bucket", self.bucket)
        self.remove("the streams", self.streams)
        self.remove("the keys", self.aliases_and_keys)
        return self.left

    def remove(self, what: str, work: Callable[[], None]) -> None:
        """Does one part. One thing that stays must not keep the others."""
        try:
            work()
        except Exception as failure:
            self.left.append(f"{what}: {failure}")

    def stack(self) -> None:
        cloudformation = self.aws.cloudformation
        with gone("ValidationError"):
            found = cloudformation.describe_stacks(StackName=self.prefix)["Stacks"][0]
            outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}
            self.groups |= {outputs[name] for name in outputs if name == "LogGroupName"}
            pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.prefix)
            resources = [one for page in pages for one in page["StackResourceSummaries"]]
            logs = [one for one in resources if one["ResourceType"] == "AWS::Logs::LogGroup"]
            self.groups |= {one["PhysicalResourceId"] for one in logs if one.get("PhysicalResourceId")}
            cloudformation.delete_stack(StackName=found["StackId"])
            every = {"Delay": 2 if self.aws.emulated else 10, "MaxAttempts": 90}
            waiter = cloudformation.get_waiter("stack_delete_complete")
            waiter.wait(StackName=found["StackId"], WaiterConfig=every)

    def log_groups(self) -> None:
        """The stack keeps its log on purpose. Where the stack is gone, it is found by its name."""
        logs = self.aws.logs
        for start in (f"{self.prefix}-", f"/aws/cloudformation/{self.prefix}/"):
            pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=start)
            self.groups |= {one["logGroupName"] for page in pages for one in page["logGroups"]}
        for group in self.groups:
            with gone("ResourceNotFoundException"):
                logs.delete_log_group(logGroupName=group)

    def bucket(self) -> None:
        s3 = self.aws.s3
        with gone("NoSuchBucket"):
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.prefix)
            for found in (page["Contents"] for page in pages if page.get("Contents")):
                objects = [{"Key": one["Key"]} for one in found]
                s3.delete_objects(Bucket=self.prefix, Delete={"Objects": objects})
            s3.delete_bucket(Bucket=self.prefix)

    def streams(self) -> None:
        names: list[str] = []
        after: dict[str, Any] = {}
        while True:  # By name: an emulator has no page tokens.
            answer = self.aws.kinesis.list_streams(**after)
            names += answer["StreamNames"]
            if not answer["HasMoreStreams"]:
                break
            after = {"ExclusiveStartStreamName": names[-1]}
        for name in names:
            if name.startswith(f"{self.prefix}-"):
                self.delete_stream(name)

    def delete_stream(self, name: str) -> None:
        end = time.monotonic() + 300
        while True:
            try:
                with gone("ResourceNotFoundException"):
                    self.aws.kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
                return
            except ClientError as error:
                busy = code(error) in ("ResourceInUseException", "LimitExceededException")
                if not busy or time.monotonic() > end:
                    raise
                time.sleep(1)

    def aliases_and_keys(self) -> None:
        kms, found = self.aws.kms, set(self.keys)
        aliases = kms.get_paginator("list_aliases").paginate().build_full_result()["Aliases"]
        own = f"alias/{self.prefix}"
        ours = [one for one in aliases if one["AliasName"] == own or one["AliasName"].startswith(f"{own}/")]
        found |= {one["TargetKeyId"] for one in ours if one.get("TargetKeyId")}
        with contextlib.suppress(Exception):  # Not for every operator, and only needed where a key has no alias yet.
            tags = [{"Key": TAG, "Values": [self.prefix]}]
            pages = self.aws.resourcegroupstaggingapi.get_paginator("get_resources")
            tagged = pages.paginate(TagFilters=tags, ResourceTypeFilters=["kms:key"])
            found |= {one["ResourceARN"] for page in tagged for one in page["ResourceTagMappingList"]}
        for one in sorted({one.split("/")[-1] for one in found}):
            if kms.describe_key(KeyId=one)["KeyMetadata"]["KeyState"] != "PendingDeletion":
                kms.schedule_key_deletion(KeyId=one, PendingWindowInDays=7)
        for alias in ours:  # Last: a key without its alias is not found again.
            with gone("NotFoundException"):
                kms.delete_alias(AliasName=alias["AliasName"])
