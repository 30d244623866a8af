"""A worker for parallel-workers in Python 3.9 or newer, with nothing but its standard library.

The service starts it, and `cargo run --example any_language --features process,serde` is one; it is not run by hand.
It processes one request at a time, of the form {"target": NAME, "arguments": {...}}. To make it your own, edit the
functions and the table below. Whatever they print goes to standard error. The protocol: src/process/PROTOCOL.md
"""

import collections
import ctypes
import json
import os
import signal
import sys
import time
import traceback


def add(a, b):
    return a + b


def greet(name):
    return f"Hello {name}"


def word_count(text):
    return collections.Counter(text.split())


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def fail(message):
    raise RuntimeError(message)


TARGETS = {"add": add, "greet": greet, "word_count": word_count, "sleep": sleep, "fail": fail}

VERSION = 1


def perform(request):
    name = request["target"]
    if name not in TARGETS:
        raise LookupError(f'no target named "{name}"')
    return TARGETS[name](**request.get("arguments", {}))


def answer(request_id, request, limit):
    try:
        line = encode({"id": request_id, "output": perform(request)})
        if len(line) > limit:
            raise ValueError(f"the output is longer than the {limit} bytes that the service reads")
    except Exception as error:
        line = encode({"id": request_id, "error": report(error)})
    return line


def report(error):
    """What went wrong, and where: as messages have it."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    location = f"{os.path.basename(raised.filename)}:{raised.lineno}"
    return {"message": str(error) or repr(error), "location": location}


def encode(message):
    # By itself, Python writes NaN and halves of surrogate pairs, which the service cannot read.
    return json.dumps(message, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")


def decode(line):
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict) or not message.keys() & {"hello", "request", "cancel"}:
        sys.exit(f"worker.py: this line is not a message: {line[:80]!r}")
    return message


def main():
    if os.environ.get("PARALLEL_WORKERS_CHILD", "").split()[:1] != ["json"]:
        print("worker.py is a worker that a parallel-workers service starts, with the json codec.", file=sys.stderr)
        sys.exit(2)
    if sys.platform == "linux":
        # It reads nothing in the middle of a request: so the system is to end it when the service is gone.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    messages, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # For a program that a target runs: it is to read no messages, and to write none.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    for message in map(decode, messages):
        if "hello" in message:
            service = message["hello"]
            line = encode({"hello": {"version": VERSION, "concurrency": 1, "window": 1}})
        elif "request" in message:
            line = answer(message["id"], message["request"], service["limit"])
        else:
            continue  # A cancel comes too late here: its request is answered.
        answers.write(line + b"\n")
        answers.flush()
        if service["version"] != VERSION:
            sys.exit(f"worker.py: the service does not speak version {VERSION}")


if __name__ == "__main__":
    main()
