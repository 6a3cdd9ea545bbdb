// Makes a container in Azure's blob storage: node container.mjs <endpoint> <account> <key> <container>
// What is signed: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
import { createHmac } from "node:crypto";

const [endpoint, account, key, container] = process.argv.slice(2);
const url = `${endpoint}/${container}?restype=container`;
const headers = { "x-ms-date": new Date().toUTCString(), "x-ms-version": "2021-08-06" };
const signed = [
  "PUT",
  ...Array(11).fill(""),
  ...Object.entries(headers).map(([name, value]) => `${name}:${value}`),
  `/${account}${new URL(url).pathname}`,
  "restype:container",
].join("\n");
const signature = createHmac("sha256", Buffer.from(key, "base64")).update(signed, "utf8").digest("base64");
const answer = await fetch(url, {
  method: "PUT",
  headers: { ...headers, Authorization: `SharedKey ${account}:${signature}` },
});
if (!answer.ok) {
  console.error(answer.status, await answer.text());
  process.exit(1);
}
