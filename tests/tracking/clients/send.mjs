// Sends the calls of standard input with a client from npm: the first half, then, once told to go on, the others.
// Arguments: the folder with node_modules, the name of the client, the address of the server, the write key.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, name, host, key] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const calls = JSON.parse((await lines.next()).value);

const clients = {
  segment: () => {
    const { Analytics } = require("@segment/analytics-node");
    const client = new Analytics({ writeKey: key, host, path: "/v1/batch", maxRetries: 30, flushInterval: 200 });
    client.on("error", (error) => console.error(error));
    return { send: (method, call) => client[method](call), close: () => client.closeAndFlush({ timeout: 60000 }) };
  },
  rudder: () => {
    const Analytics = require("@rudderstack/rudder-sdk-node");
    const client = new Analytics(key, {
      dataPlaneUrl: host,
      flushInterval: 200,
      retryCount: 30,
      logLevel: "error",
      axiosRetryConfig: { retries: 30, retryDelay: () => 500, retryCondition: () => true },
    });
    const sent = [];
    return {
      send: (method, call) => sent.push(new Promise((done, failed) => client[method](call, (e) => (e ? failed(e) : done())))),
      close: async () => {
        await client.flush();
        await Promise.all(sent);
      },
    };
  },
};

const client = clients[name]();
const half = calls.length / 2;
for (const [method, call] of calls.slice(0, half)) client.send(method, call);
await new Promise((done) => setTimeout(done, 1000));
console.log("half");
await lines.next();
for (const [method, call] of calls.slice(half)) client.send(method, call);
await client.close();
console.log("done");
process.exit(0);
