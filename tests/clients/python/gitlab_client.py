"""python-gitlab reads projects, jobs and logs, as its users do. Address and token come by arguments, what to expect as JSON."""

import json
import sys

import gitlab

url, token, expected = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
path, ids, finished = expected["path"], expected["ids"], expected["finished"]
with open(expected["log"], "rb") as file:
    log = file.read()

client = gitlab.Gitlab(url, private_token=token)
client.auth()
assert client.user.username == "admin", client.user
assert client.version()[0] == expected["version"], client.version()

# Projects, by path and by number.
project = client.projects.get(path)
assert project.path_with_namespace == path, project
assert client.projects.get(project.id).name == path.split("/")[-1]
assert [found.id for found in client.projects.list(iterator=True)] == [project.id]
assert [found.id for found in client.projects.list(search=path[1:4], get_all=True)] == [project.id]
try:
    client.projects.get("group/other")
    raise SystemExit("a project that is not there was found")
except gitlab.GitlabGetError as error:
    assert error.response_code == 404, error

# Lists: one page, all pages, as an iterator, behind each other, and by status.
first = project.jobs.list(per_page=3, page=1, get_all=False)
assert [job.id for job in first] == ids[:3], first
assert [job.id for job in project.jobs.list(per_page=3, get_all=True)] == ids
pages = project.jobs.list(per_page=3, iterator=True)
assert (pages.total, pages.total_pages, pages.current_page, pages.per_page, pages.next_page) == (
    len(ids), -(-len(ids) // 3), 1, 3, 2), (pages.total, pages.total_pages)
assert [job.id for job in pages] == ids
assert [job.id for job in project.jobs.list(pagination="keyset", per_page=2, iterator=True)] == ids
assert [job.id for job in project.jobs.list(scope=["success", "failed"], per_page=1, get_all=True)] == [finished]
assert [job.id for job in project.jobs.list(scope="canceled", get_all=True)] == []

# One job, and its log, whole and streamed.
job = project.jobs.get(finished)
assert (job.status, job.name, job.ref, job.runner) == ("success", "rspec", None, None), job
assert job.duration is not None and job.finished_at is not None, job
assert job.trace() == log, "the whole log"
streamed = []
job.trace(streamed=True, action=streamed.append, chunk_size=10_000)
assert len(streamed) > 1 and b"".join(streamed) == log, "the streamed log"
assert b"".join(job.trace(iterator=True)) == log, "the log as an iterator"

# A token that nobody knows.
try:
    gitlab.Gitlab(url, private_token="wrong").auth()
    raise SystemExit("a wrong token was taken")
except gitlab.GitlabAuthenticationError as error:
    assert error.response_code == 401, error

# The job's own token opens the job.
own = gitlab.Gitlab(url, job_token=expected["job_token"])
assert own.projects.get(path, lazy=True).jobs.get(finished).trace() == log, "the log by the job's token"

# Erased, as its users do it.
running = project.jobs.get(ids[0])
try:
    running.erase()
    raise SystemExit("a running job was erased")
except gitlab.GitlabJobEraseError as error:
    assert error.response_code == 403, error
job.erase()
assert project.jobs.get(finished).erased_at is not None
try:
    job.trace()
    raise SystemExit("an erased log was read")
except gitlab.GitlabGetError as error:
    assert error.response_code == 410, error
print("read everything")
