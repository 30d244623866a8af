"""Asks arq's workers: arq_call.py WARM_UP REQUESTS WINDOW."""

import asyncio
import os
import sys

from arq import create_pool

from arq_worker import REDIS
from timing import Stopwatch

# A caller looks for its outcome so often, in seconds: arq tells nobody that one is there.
DELAY = float(os.environ["CLUSTER_CALLER_DELAY"])


async def run(redis, numbers, window, stopwatch=None):
    numbers = iter(numbers)

    async def one_after_another():
        for n in numbers:
            if stopwatch:
                stopwatch.start(n)
            job = await redis.enqueue_job("triple", n)
            output = await job.result(timeout=60, poll_delay=DELAY)
            if stopwatch:
                stopwatch.done(n, output)

    await asyncio.gather(*(one_after_another() for _ in range(window)))


async def main():
    warm_up, requests, window = map(int, sys.argv[1:])
    redis = await create_pool(REDIS)
    await run(redis, range(warm_up), window)
    stopwatch = Stopwatch()
    await run(redis, range(warm_up, warm_up + requests), window, stopwatch)
    stopwatch.stop()


asyncio.run(main())
