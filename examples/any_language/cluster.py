"""A worker for parallel-workers in Python 3.9 or newer, for a queue in JSON that NATS JetStream keeps.

    pip install nats-py
    python3 examples/any_language/cluster.py --servers nats://127.0.0.1:4222 --queue any_language

It processes one request at a time, of the form {"target": NAME, "arguments": {...}}. The targets are those of worker.py,
beside this file: to make it your own, edit them. Start as many as you like, wherever you like: one for each core, say.

The queue is created by whoever calls first, as `Queue::named("any_language").json()`: until there is a server, and the
queue, this waits for them, and says so. Ctrl-C or SIGTERM ends it in good order, and what it has begun is finished; a
second one ends it at once. The protocol: src/nats/PROTOCOL.md
"""

import argparse
import asyncio
import collections
import contextlib
import json
import re
import signal
import sys
import time

import nats
from nats.js.errors import APIError, NotFoundError

from worker import encode, perform, report

DESCRIPTION = "parallel-workers 1 json"  # The version of the protocol, and how requests are written.
MAX_STARTS = 3  # As the queue is described by `Queue::max_starts`.

PULL = 1  # Seconds for which the server keeps a question for a request. To stop takes no longer.
PATIENCE = 2  # Seconds for which any other answer is waited for.
PAUSE = 0.25  # Seconds before something is tried once more.
SWEEP = 30  # Seconds between two looks for what the server has forgotten that it is done.
REMEMBERED = 4096  # So many aborts are kept in mind, for a request may come after its abort.
OVERTAKEN = (10071, 10164)  # Errors of the server's: the last sequence is not the one that was expected.


def answer(payload, longest):
    """What comes of a request: a status, and the output or what went wrong. Called on a thread of its own."""
    try:
        status, said = "output", encode(perform(json.loads(payload)))
    except Exception as error:
        status, said = "panicked", encode(report(error))
    if len(said) > longest:
        # The server would not take it, and the request would come back for ever.
        message = f"what the target gave takes {len(said)} bytes, and the server takes no more than {longest}"
        status, said = "panicked", encode({"message": f"{message}: have it give a reference to the data"})
    return status, said


class Request:
    """One that was delivered, and is neither acknowledged nor given back."""

    def __init__(self, message, submission, payload):
        self.message, self.submission, self.payload = message, submission, payload
        self.key = message.subject.rsplit(".", 1)[-1]
        self.delivery = message.metadata.num_delivered
        self.starts = 0  # How often it was begun, as far as that was written down.
        self.after = 0  # The sequence of what is stored on the subject of its result; 0: nothing.


class Worker:
    """Processes the requests of a queue, one at a time: so the last start of one is alone, as it is to be."""

    def __init__(self, client, prefix, queue, stop):
        self.client, self.jetstream, self.stop = client, client.jetstream(), stop
        self.queue, self.subject = queue, f"{prefix}.{queue}"
        self.requests, self.results, self.dead = (
            f"{prefix}_{queue}_{what}" for what in ("REQUESTS", "RESULTS", "DEAD")
        )
        self.longest = client.max_payload - 4096  # The rest is for the head.
        self.aborted = collections.OrderedDict()
        self.swept = None  # The connection's number, and when.

    async def run(self):
        await self.find_queue()
        await self.client.subscribe(f"{self.subject}.abort", cb=self.remember_abort)
        while not self.stop.is_set():
            await self.sweep()
            message = await self.pull()
            if message is not None:
                await self.take(message)

    async def find_queue(self):
        """Waits until the queue is there, and looks whether it is one that is understood here."""
        while not self.stop.is_set():
            try:
                for stream in (self.requests, self.results, self.dead):
                    found = (await self.jetstream.stream_info(stream)).config.description
                    if found != DESCRIPTION:
                        wanted = f"this worker wants {DESCRIPTION!r}: describe the queue by `Queue::json`"
                        sys.exit(f"cluster.py: the stream {stream} is described as {found!r}, and {wanted}")
                self.lease = (await self.jetstream.consumer_info(self.requests, "workers")).config.ack_wait
                return say(f"serving {self.queue}")
            except NotFoundError:
                say(f"there is no queue {self.queue}: waiting for whoever creates it")
            except nats.errors.Error as error:
                say(f"waiting for JetStream, which the server may have switched off: {error}")
            await asyncio.sleep(PAUSE)

    async def remember_abort(self, message):
        self.aborted[message.data.decode(errors="replace")] = None
        while len(self.aborted) > REMEMBERED:
            self.aborted.popitem(last=False)

    async def sweep(self):
        """Takes out what some servers have back after a crash although it is done: it would keep equal requests out."""
        connection, now = self.client.stats["reconnects"], time.monotonic()
        if self.swept is not None and self.swept[0] == connection and now < self.swept[1] + SWEEP:
            return
        self.swept = connection, now
        with contextlib.suppress(nats.errors.Error):
            floor = (await self.jetstream.consumer_info(self.requests, "workers")).ack_floor.stream_seq
            state = (await self.jetstream.stream_info(self.requests)).state
            if state.messages and state.first_seq <= floor:
                await self.jetstream.purge_stream(self.requests, seq=floor + 1)

    async def pull(self):
        """Asks for a request. None: there is none now."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.requests}.workers"
        question = json.dumps({"batch": 1, "expires": PULL * 10**9}).encode()
        try:
            # In the old style, for a request comes under its own subject; the other knows answers by theirs.
            message = await self.client.request(subject, question, timeout=PULL + PATIENCE, old_style=True)
            status = (message.headers or {}).get("Status")
        except nats.errors.Error:
            status = "silent"
        if status is None:
            return message
        if status not in ("404", "408"):  # These say that there is none; everything else is trouble, which may pass.
            await asyncio.sleep(PAUSE)

    async def take(self, message):
        """Processes what was delivered, and says meanwhile that somebody does."""
        name, _, payload = message.data.partition(b"\n")
        if not re.fullmatch(rb"[A-Za-z0-9]+\.[A-Za-z0-9]+", name):
            return await message.term()  # It is no request, and will not become one.
        holding = asyncio.create_task(self.hold(message))
        is_done = await self.process(Request(message, name.decode(), payload))
        holding.cancel()
        # If the server does not hear this, it delivers the request once more, and what is stored is found.
        with contextlib.suppress(nats.errors.Error):
            await (message.ack() if is_done else message.nak())

    async def hold(self, message):
        while True:
            await asyncio.sleep(self.lease / 3)
            with contextlib.suppress(nats.errors.Error):
                await message.in_progress()

    async def process(self, request):
        """Sees to a request's result. True: it has one. False: it is to be given back."""
        if request.delivery > 1 and await self.count_starts(request):
            return True
        if self.stop.is_set():
            return not await self.store(request, "started")
        if request.submission in self.aborted:
            await self.store(request, "aborted")
        elif request.starts >= MAX_STARTS:
            await self.set_aside(request)
        else:
            request.starts += 1
            if request.delivery == 1 or await self.store(request, "started"):
                await self.store(request, *await asyncio.to_thread(answer, request.payload, self.longest))
        return True

    async def count_starts(self, request):
        """Finds out how often a request was begun that was delivered before. True: it has a result."""
        found = await self.look(request)
        if is_result(found):
            return True
        # The first start is not written down before it, and every other is.
        request.starts = 1 if found is None else int(found.get("Pw-Starts", 1))
        return False

    async def set_aside(self, request):
        headers = {"Pw-Submission": request.submission, "Pw-Starts": str(request.starts)}
        await self.publish(f"{self.subject}.d.{request.key}", request.payload, headers)
        await self.store(request, "dead")

    async def store(self, request, status, payload=b""):
        """Stores a message on the subject of a result. False: there is a result."""
        headers = {"Pw-Status": status, "Pw-Starts": str(request.starts)}
        while True:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(request.after)
            stored = await self.publish(self.result_of(request), payload, headers)
            if stored is not None:
                request.after = stored.seq
                return True
            if is_result(await self.look(request)):
                return False

    async def publish(self, subject, payload, headers):
        """Publishes until the server has stored it. None: the last sequence is not the one that was expected."""
        while True:
            try:
                return await self.jetstream.publish(subject, payload, timeout=PATIENCE, headers=headers)
            except nats.errors.Error as error:
                if isinstance(error, APIError) and error.err_code in OVERTAKEN:
                    return None
                say(f"the server did not store a message, and is asked again: {error}")
            await asyncio.sleep(PAUSE)

    async def look(self, request):
        """The head of what is stored on the subject of a result. None: nothing is."""
        while True:
            try:
                found = await self.jetstream.get_last_msg(self.results, self.result_of(request))
                request.after = found.seq
                return found.headers or {}
            except NotFoundError:
                request.after = 0
                return None
            except nats.errors.Error as error:
                say(f"the server did not tell of a result, and is asked again: {error}")
            await asyncio.sleep(PAUSE)

    def result_of(self, request):
        return f"{self.subject}.r.{request.submission}"


def is_result(found):
    return found is not None and found.get("Pw-Status") != "started"


def say(text, said=collections.deque(maxlen=1)):
    """Says something, but once, however often it is the case again."""
    if text not in said:
        said.append(text)
        print(f"cluster.py: {text}", file=sys.stderr, flush=True)


async def serve(arguments):
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def interrupted(number, _):
        signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)

    async def say_error(error):
        say(f"{type(error).__name__}: {error}")

    connecting = asyncio.create_task(nats.connect(
        arguments.servers.split(","), name="cluster.py", user_credentials=arguments.credentials, error_cb=say_error,
        ping_interval=3, reconnect_time_wait=PAUSE, max_reconnect_attempts=-1,
    ))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if connecting.done():
        client = await connecting
        await Worker(client, arguments.prefix, arguments.queue, stop).run()
        await client.close()


def main():
    parser = argparse.ArgumentParser(description="Processes the requests of a queue in JSON that NATS JetStream keeps.")
    parser.add_argument("--servers", default="nats://127.0.0.1:4222", help="where they are, with commas")
    parser.add_argument("--queue", default="any_language", help="what it is called")
    parser.add_argument("--prefix", default="pw", help="what its subjects and streams begin with")
    parser.add_argument("--credentials", help="a file, as nsc writes them")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
