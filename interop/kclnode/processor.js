// A record processor for the multi-language daemon, on aws-kcl as it is installed from npm.
//
// Writes events in the format of ../workers/event.go to the file INTEROP_EVENTS, which other processors of the
// same worker write to as well, and checkpoints behind every batch. Standard output belongs to the daemon.
'use strict';

const fs = require('node:fs');
const { performance } = require('node:perf_hooks');
const kcl = require('aws-kcl');

const file = fs.openSync(process.env.INTEROP_EVENTS, 'a');
const session = String(process.pid); // the daemon starts a process for each lease
let last = null;

// write appends events in one call of the operating system.
function write(...events) {
  const now = Math.round((performance.timeOrigin + performance.now()) * 1000);
  fs.writeSync(file, events.map((event) => `${now} ${session} ${event}\n`).join(''));
}

function checkpoint(checkpointer, record, done) {
  checkpointer.checkpoint(record.sequenceNumber, (err) => {
    if (!err) {
      write(`checkpoint ${record.sequenceNumber} ${record.subSequenceNumber || 0}`);
    } else if (!String(err).includes('ShutdownException')) { // else the lease is another's by now
      throw new Error(`cannot checkpoint: ${err}`);
    }
    done();
  });
}

kcl({
  initialize(input, done) {
    write(`start ${input.shardId}`);
    done();
  },

  processRecords(input, done) {
    const records = input.records || [];
    if (records.length === 0) {
      done();
      return;
    }
    write(...records.map((r) =>
      `record ${r.sequenceNumber} ${r.subSequenceNumber || 0} ${r.partitionKey} ${Buffer.from(r.data, 'base64')}`));
    last = records[records.length - 1];
    checkpoint(input.checkpointer, last, done);
  },

  leaseLost(input, done) {
    write('lost');
    done();
  },

  shardEnded(input, done) {
    write('ended');
    input.checkpointer.checkpoint((err) => {
      if (err) {
        throw new Error(`cannot checkpoint the end: ${err}`);
      }
      done();
    });
  },

  shutdownRequested(input, done) {
    const end = () => {
      write('stopping');
      done();
    };
    if (last === null) {
      end();
      return;
    }
    checkpoint(input.checkpointer, last, end);
  },
}).run();
