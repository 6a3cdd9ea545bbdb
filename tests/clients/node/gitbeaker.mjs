// gitbeaker reads projects, jobs and logs, as its users do. Address and token come by arguments, what to expect as JSON.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [, , folder, host, token, json] = process.argv;
// The package lies where it was installed, not beside this file.
const { Gitlab } = createRequire(`${folder}/package.json`)("@gitbeaker/rest");
const expected = JSON.parse(json);
const log = readFileSync(expected.log);
const { path, ids, finished } = expected;
const numbers = (list) => list.map((item) => item.id);

const client = new Gitlab({ host, token });
assert.equal((await client.Users.showCurrentUser()).username, "admin");

// Projects, by path and by number.
const project = await client.Projects.show(path);
assert.equal(project.path_with_namespace, path);
assert.equal((await client.Projects.show(project.id)).id, project.id);
assert.deepEqual(numbers(await client.Projects.all()), [project.id]);
await assert.rejects(client.Projects.show("group/other"), (error) => error.cause.response.status === 404);

// Lists: all pages, one page with what its headers say, behind each other, and by status.
assert.deepEqual(numbers(await client.Jobs.all(path, { perPage: 3 })), ids);
const second = await client.Jobs.all(path, { perPage: 3, page: 2, showExpanded: true });
assert.deepEqual(numbers(second.data), ids.slice(3, 6));
assert.deepEqual(second.paginationInfo, {
  total: ids.length, next: 3, current: 2, previous: 1, perPage: 3, totalPages: Math.ceil(ids.length / 3),
});
assert.deepEqual(numbers(await client.Jobs.all(path, { perPage: 2, pagination: "keyset" })), ids);
assert.deepEqual(numbers(await client.Jobs.all(path, { scope: ["success", "failed"], perPage: 1 })), [finished]);

// One job, and its log.
const job = await client.Jobs.show(path, finished);
assert.deepEqual([job.status, job.name, job.runner, job.artifacts], ["success", "rspec", null, []]);
assert.equal(await client.Jobs.showLog(path, finished), log.toString());

// A token that nobody knows.
const wrong = new Gitlab({ host, token: "wrong" });
await assert.rejects(wrong.Projects.all(), (error) => error.cause.response.status === 401);
console.log("read everything");
