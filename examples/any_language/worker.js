// A worker for parallel-workers in Node 18 or newer, without any package.
//
// The service starts it, and `cargo run --example any_language --features process,serde` is one; it is not run by hand.
// It processes 16 requests at a time, of the form {"target": NAME, "arguments": {...}}. To make it your own, edit the
// table below; its functions may be async. They print to standard error. The protocol: src/process/PROTOCOL.md

"use strict";

const targets = {
  add: ({ a, b }) => a + b,
  greet: ({ name }) => `Hello ${name}`,
  word_count: ({ text }) => {
    const counts = new Map();
    for (const word of text.split(/\s+/).filter(Boolean)) counts.set(word, (counts.get(word) ?? 0) + 1);
    return Object.fromEntries(counts);
  },
  sleep: ({ seconds }, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, seconds * 1000, seconds);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(new Error("cancelled"));
      });
    }),
  fail: ({ message }) => {
    throw new Error(message);
  },
};

const VERSION = 1;
const CONCURRENCY = 16;
const running = new Map(); // From the id of a request to what cancels it.

const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr); // console.log uses it, too.
const send = (line) => new Promise((done) => write(line + "\n", done));

function perform({ target, arguments: given = {} }, signal) {
  if (!Object.hasOwn(targets, target)) throw new Error(`no target named "${target}"`);
  return targets[target](given, signal);
}

async function answer(id, request, limit) {
  const controller = new AbortController();
  running.set(id, controller);
  let line;
  try {
    const output = await perform(request, controller.signal);
    line = JSON.stringify({ id, output: output ?? null });
    const tooLong = Buffer.byteLength(line) > limit;
    if (tooLong) throw new Error(`the output is longer than the ${limit} bytes that the service reads`);
  } catch (thrown) {
    // The first line of the stack that names a file, as "    at fail (/somewhere/worker.js:26:11)".
    const location = /^\s+at .*?([^\\/(\s]+:\d+):\d+\)?$/m.exec(thrown?.stack)?.[1] ?? null;
    line = JSON.stringify({ id, error: { message: String(thrown?.message ?? thrown), location } });
  }
  running.delete(id);
  send(line);
}

function decode(line) {
  try {
    const message = JSON.parse(line);
    if (["hello", "request", "cancel", "recall"].some((kind) => Object.hasOwn(message, kind))) return message;
  } catch {}
  throw new Error(`this line is not a message: ${line.slice(0, 80)}`);
}

// Not by node:readline, for that also ends a line at U+2028, which JSON may have inside of a string.
async function* messages() {
  let unfinished = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    const lines = chunk.split("\n");
    lines[0] = unfinished + lines[0];
    unfinished = lines.pop();
    for (const line of lines) yield decode(line);
  }
  if (unfinished !== "") yield decode(unfinished);
}

async function serve() {
  let service;
  for await (const message of messages()) {
    if ("hello" in message) {
      service = message.hello;
      await send(JSON.stringify({ hello: { version: VERSION, concurrency: CONCURRENCY, window: CONCURRENCY } }));
      if (service.version !== VERSION) throw new Error(`the service does not speak version ${VERSION}`);
    } else if ("request" in message) {
      answer(message.id, message.request, service.limit); // Not awaited, so that the next message is read meanwhile.
    } else if ("cancel" in message) {
      running.get(message.cancel)?.abort();
    } else {
      send('{"recalled":[]}'); // Whatever has come has begun.
    }
  }
  // What has not been answered is for nobody, for the service is gone. Writing to a pipe is synchronous here.
  process.exit();
}

if (process.env.PARALLEL_WORKERS_CHILD?.split(" ")[0] !== "json") {
  console.error("worker.js is a worker that a parallel-workers service starts, with the json codec.");
  process.exitCode = 2;
} else {
  serve().catch((error) => process.stderr.write(`worker.js: ${error.message}\n`, () => process.exit(1)));
}
