use std::time::SystemTime;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, ShardIteratorType, StartingPosition, SubscribeToShardEventStream};

use crate::{equal, hash_limit, mismatch, must, refused, Put, Script, READ_PAUSE, SHARDS, STREAM};

pub fn puts(records: &[Record]) -> Vec<Put> {
    let now = DateTime::from(SystemTime::now()).secs();
    records.iter().map(|r| {
        let arrived = r.approximate_arrival_timestamp.unwrap();
        if !(-1..300).contains(&(now - arrived.secs())) {
            mismatch(format!("ApproximateArrivalTimestamp is {arrived:?}"));
        }
        Put { sequence: r.sequence_number.clone(), key: r.partition_key.clone().unwrap(), data: r.data.as_ref().into() }
    }).collect()
}

impl Script {
    pub async fn iterator(&self, stream: &str, shard: &str, kind: ShardIteratorType, sequence: Option<String>, at: Option<DateTime>) -> String {
        must(self.client.get_shard_iterator().stream_name(stream).shard_id(shard).shard_iterator_type(kind)
            .set_starting_sequence_number(sequence).set_timestamp(at).send().await).shard_iterator.unwrap()
    }

    pub async fn read(&mut self) {
        use ShardIteratorType::*;
        for (shard, hash) in SHARDS.iter().zip(["0".to_string(), hash_limit(128)]) {
            let want = self.records[*shard].clone();
            let second = want.iter().position(|r| r.data.starts_with(b"second")).unwrap();
            let fourth = Some(want[3].sequence.clone());
            let at = Some(DateTime::from_secs(self.batch2 as i64));
            let latest = self.iterator(STREAM, shard, Latest, None, None).await;
            for (kind, sequence, at, want) in [
                (TrimHorizon, None, None, &want[..]),
                (AtSequenceNumber, fourth.clone(), None, &want[3..]),
                (AfterSequenceNumber, fourth, None, &want[4..]),
                (AtTimestamp, None, at, &want[second..]),
            ] {
                let what = kind.to_string();
                let iterator = self.iterator(STREAM, shard, kind, sequence, at).await;
                let out = must(self.client.get_records().shard_iterator(iterator).send().await);
                equal(&what, puts(&out.records).as_slice(), want);
                equal("MillisBehindLatest at the tip", out.millis_behind_latest, Some(0));
                tokio::time::sleep(READ_PAUSE).await;
            }

            self.put_one("late", b"late", Some(hash), None, shard).await;
            let want = self.records[*shard].clone();
            let out = must(self.client.get_records().shard_iterator(latest).send().await);
            equal("LATEST", puts(&out.records).as_slice(), &want[want.len() - 1..]);

            let mut paged = vec![];
            let mut position = self.iterator(STREAM, shard, TrimHorizon, None, None).await;
            while paged.len() < want.len() {
                tokio::time::sleep(READ_PAUSE).await;
                let out = must(self.client.get_records().shard_iterator(position).limit(7).send().await);
                if out.records.is_empty() || out.records.len() > 7 {
                    mismatch(format!("Limit 7 gave {} records", out.records.len()));
                }
                paged.extend(puts(&out.records));
                position = out.next_shard_iterator.unwrap();
            }
            equal("pages of 7", paged, want);
        }
        println!("read: TRIM_HORIZON, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, AT_TIMESTAMP, LATEST, Limit");
    }

    pub async fn fan_out(&mut self) {
        let shard = SHARDS[0];
        let consumer = self.register_consumer(STREAM, "reader").await;
        let start = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build().unwrap();
        let subscribe = self.client.subscribe_to_shard().consumer_arn(&consumer).shard_id(shard).starting_position(start);
        let mut stream = must(subscribe.clone().send().await).event_stream;
        let mut got = vec![];
        for round in 0..2 {
            while got.len() < self.records[shard].len() {
                match must(stream.recv().await) {
                    Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => {
                        if event.continuation_sequence_number.is_empty() {
                            mismatch("an event has no ContinuationSequenceNumber");
                        }
                        got.extend(puts(&event.records));
                    }
                    other => mismatch(format!("the subscription gave {other:?}")),
                }
            }
            if round == 0 {
                refused("a second subscription at once", subscribe.clone().send().await, |e| e.is_resource_in_use_exception(),
                    "Another active subscription exists for this consumer");
                self.put_one("pushed", b"pushed", Some("0".into()), None, shard).await;
            }
        }
        equal("SubscribeToShard", &got, &self.records[shard]);
        println!("fan-out: records so far, a record put meanwhile, second subscription refused");
    }
}
