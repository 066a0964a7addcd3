"""PySpark's worker daemon, with the matcher's imports done once, before it forks the workers.

A worker then starts in milliseconds instead of seconds. What the imports made is frozen: PySpark collects garbage after
every task, and would walk through all of it each time. That one collection a task is enough: in between, the collector
would look again and again through a batch's events, none of which is garbage yet.
"""

import gc

import pyarrow  # noqa: F401 - PySpark imports it in every worker
from pyspark.daemon import manager

import spark.bucket_state  # noqa: F401 - the function that the workers run, and all that it needs

if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    gc.disable()
    manager()
