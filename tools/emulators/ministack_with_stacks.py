"""Starts ministack so that our stack can be deployed to it: parts.py runs this in ministack's own Python. Changes
nothing else of it.

    python tools/emulators/ministack_with_stacks.py FOLDER      (FOLDER: packages with SAM's translator in them)

CloudFormation there refuses a template with a kind of resource that it does not know. Those that nothing runs on, and
only those, are taken here and made into nothing; whether they are right is for the linters of the template.
"""

import runpy
import sys

# Nothing of this folder is for ministack. The packages of the SAM CLI come behind its own: of those that both have it
# takes its own.
del sys.path[0]
sys.path.append(sys.argv.pop(1))

from ministack.services.cloudformation import provisioners  # noqa: E402  (found by the line above)

for kind in ["AWS::Logs::QueryDefinition"]:
    provisioners._RESOURCE_HANDLERS.setdefault(
        kind,
        {
            "create": lambda logical, properties, stack: (logical, {}),
            "update": lambda physical, old, new, stack: (physical, {}),
            "delete": lambda physical, properties: None,
        },
    )

runpy.run_module("ministack", run_name="__main__", alter_sys=True)
