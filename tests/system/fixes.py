"""Reads printed fixes with parsers that are not ours: fixes.py < [{"hcl": TEXT} or {"cloudformation": TEXT}, ..]

HCL is read by python-hcl2, templates of CloudFormation by the AWS CLI's own reader. Prints one line of JSON a text:
what it says, or null if it cannot be read.
"""

import json
import sys

import hcl2
from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from lark.exceptions import LarkError
from yaml import YAMLError

READERS = {"hcl": hcl2.loads, "cloudformation": yaml_parse}

for text in json.load(sys.stdin):
    [(kind, text)] = text.items()
    try:
        said = READERS[kind](text)
    except (LarkError, YAMLError):
        said = None
    print(json.dumps(said))
