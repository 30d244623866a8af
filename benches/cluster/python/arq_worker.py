"""arq's part: arq_worker.py runs one worker process, with settings for speed."""

import os

from arq import run_worker
from arq.connections import RedisSettings

from timing import say_ready
from timing import triple as compute

REDIS = RedisSettings.from_dsn(os.environ["CLUSTER_REDIS"])


async def triple(ctx, n):
    return compute(n)


async def ready(ctx):
    say_ready()


class WorkerSettings:
    functions = [triple]
    on_startup = ready
    redis_settings = REDIS
    # By default a worker looks for requests twice a second, and runs ten at a time.
    poll_delay = float(os.environ["CLUSTER_WORKER_DELAY"])
    max_jobs = 512
    keep_result = 600


if __name__ == "__main__":
    run_worker(WorkerSettings)
