"""Takes one job with gitlab-runner-api, sends a log, and ends it: URL, runner's number, runner's token."""

import sys

from gitlab_runner_api import Runner
from gitlab_runner_api.exceptions import AuthException

url, number, token = sys.argv[1:]
runner = Runner(url, int(number), token, {"info": {"name": "test"}})
job = runner.request_job()
job.log += "grüße from python\n"
job.set_success()
then = runner.request_job()
try:
    Runner(url, int(number), token + "0", {"info": {}})
    wrong = "taken"
except AuthException:
    wrong = "refused"
print("job", job.id, "; ".join([job.script[0], "then " + ("nothing" if then is None else "another")]) + "; a wrong token is " + wrong)
