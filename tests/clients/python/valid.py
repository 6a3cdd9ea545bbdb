"""The description is valid OpenAPI 3.1. It comes by standard input."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

document = json.load(sys.stdin)
assert document["openapi"].startswith("3.1."), document["openapi"]
errors = list(OpenAPIV31SpecValidator(document).iter_errors())
for error in errors:
    print(list(error.absolute_path), error.message)
if errors:
    raise SystemExit(1)
print("valid")
