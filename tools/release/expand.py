"""Writes out what the SAM transform would make of a packaged template: what a StackSet can deploy, since one with
service-managed permissions takes no macros. It asks no service, and changes nothing but the file that it writes.

    make expanded FROM=packaged.yaml TO=expanded.json

It has to be packaged (`sam package`): only then is the code where CloudFormation finds it. Parameters and conditions
stay as they are.
"""

import json
import os
import pathlib
import sys
from typing import Any

# The transform asks for a Region to know the partition, and for nothing else. It must not take it from somebody's
# profile.
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The transform would observe names of managed policies up in IAM. The role of the template is its own: there are
    none.
    """

    def load(self) -> dict[str, str]:
        """Names of managed policies, and their ARNs."""
        return {}


def expanded(template: dict[str, Any]) -> dict[str, Any]:
    """The template without macros."""
    try:
        result: dict[str, Any] = transform(template, {}, NoManagedPolicies())
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes)
        raise SystemExit(f"expand: {causes} (is it packaged by `sam package`?)") from None
    left = [name for name, resource in result["Resources"].items() if resource["Type"].startswith("AWS::Serverless::")]
    if "Transform" in result or left:
        raise SystemExit(f"expand: there is a macro left: {result.get('Transform', left)}")
    return result


def main() -> None:
    """Writes the expanded template."""
    if len(sys.argv) != 3 or not all(sys.argv[1:]):
        raise SystemExit("usage: make expanded FROM=packaged.yaml TO=expanded.json")
    source, target = map(pathlib.Path, sys.argv[1:])
    if not source.is_file():
        raise SystemExit(f"expand: there is no file {source}")
    target.write_text(json.dumps(expanded(yaml_parse(source.read_text())), indent=1) + "\n")
