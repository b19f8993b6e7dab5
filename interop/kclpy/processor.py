"""A record processor for the multi-language daemon, on amazon_kclpy as it is installed from PyPI.

Writes events in the format of ../workers/event.go to the file INTEROP_EVENTS, which other processors of the
same worker write to as well, and checkpoints behind every batch. Standard output belongs to the daemon.
"""

import os
import time

from amazon_kclpy import kcl
from amazon_kclpy.v3 import processor


class Processor(processor.RecordProcessorBase):
    def __init__(self):
        self.events = os.open(os.environ["INTEROP_EVENTS"], os.O_WRONLY | os.O_APPEND)
        self.session = str(os.getpid())  # the daemon starts a process for each lease
        self.last = None

    def write(self, *events):
        """Appends events in one call of the operating system."""
        now = time.time_ns() // 1000
        os.write(self.events, "".join(f"{now} {self.session} {event}\n" for event in events).encode())

    def checkpoint(self, checkpointer, record):
        try:
            checkpointer.checkpoint(record.sequence_number, record.sub_sequence_number)
        except kcl.CheckpointError as e:
            if e.value == "ShutdownException":
                return  # the lease is another's by now
            raise
        self.write(f"checkpoint {record.sequence_number} {record.sub_sequence_number}")

    def initialize(self, input):
        self.write(f"start {input.shard_id}")

    def process_records(self, input):
        if not input.records:
            return
        self.write(*(
            f"record {r.sequence_number} {r.sub_sequence_number} {r.partition_key} {r.binary_data.decode()}"
            for r in input.records))
        self.last = input.records[-1]
        self.checkpoint(input.checkpointer, self.last)

    def lease_lost(self, input):
        self.write("lost")

    def shard_ended(self, input):
        self.write("ended")
        input.checkpointer.checkpoint()

    def shutdown_requested(self, input):
        if self.last:
            self.checkpoint(input.checkpointer, self.last)
        self.write("stopping")


if __name__ == "__main__":
    kcl.KCLProcess(Processor()).run()
