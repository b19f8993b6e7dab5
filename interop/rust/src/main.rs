//! The script of ../README.md in the AWS SDK for Rust, configured by the environment only.

mod read;
mod reshard;

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{ConsumerStatus, PutRecordsRequestEntry, StreamDescriptionSummary, StreamStatus};
use aws_sdk_kinesis::Client;

pub const STREAM: &str = "interop-rust";
pub const SHARDS: [&str; 2] = ["shardId-000000000000", "shardId-000000000001"];
/// GetRecords may be called five times a second for a shard.
pub const READ_PAUSE: Duration = Duration::from_millis(210);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Put {
    pub sequence: String,
    pub key: String,
    pub data: Vec<u8>,
}

pub struct Script {
    pub client: Client,
    /// Of each shard, in order of their numbers.
    pub records: BTreeMap<String, Vec<Put>>,
    /// The second in which the second batch was put.
    pub batch2: u64,
}

pub fn mismatch(text: impl Display) -> ! {
    println!("MISMATCH {text}");
    std::process::exit(1)
}

pub fn equal<T: PartialEq<U> + Debug, U: Debug>(what: &str, got: T, want: U) {
    if got != want {
        mismatch(format!("{what} is {:.1000}, want {:.1000}", format!("{got:?}"), format!("{want:?}")));
    }
}

pub fn must<T, E: Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|e| mismatch(format!("unexpected error: {e:?}")))
}

/// Demands the SDK's own exception, told by `is`, with a message.
pub fn refused<T, E: ProvideErrorMetadata + Debug, R: Debug>(
    what: &str, result: Result<T, SdkError<E, R>>, is: impl Fn(&E) -> bool, message: &str,
) {
    match result {
        Err(SdkError::ServiceError(e)) if is(e.err()) && e.err().message().unwrap_or("").contains(message) => {}
        Err(e) => mismatch(format!("{what} was refused with {e:?}, want {message}")),
        Ok(_) => mismatch(format!("{what} was not refused")),
    }
}

pub fn hash_limit(bits: u32) -> String {
    // 2^128 does not fit u128; all that is needed are 2^127 and 2^128 - 1.
    if bits == 128 { u128::MAX.to_string() } else { (1u128 << bits).to_string() }
}

fn shard_for(key: &str) -> &'static str {
    use md5::{Digest, Md5};
    SHARDS[(Md5::digest(key.as_bytes())[0] >> 7) as usize]
}

#[tokio::main]
async fn main() {
    let client = Client::new(&aws_config::load_from_env().await);
    let mut script = Script { client, records: SHARDS.iter().map(|s| (s.to_string(), vec![])).collect(), batch2: 0 };
    script.create().await;
    script.put().await;
    script.read().await;
    script.fan_out().await;
    script.reshard().await;
    script.errors().await;
    script.delete().await;
}

impl Script {
    pub async fn await_active(&self, stream: &str) -> StreamDescriptionSummary {
        loop {
            let out = must(self.client.describe_stream_summary().stream_name(stream).send().await);
            let summary = out.stream_description_summary.unwrap();
            if summary.stream_status == StreamStatus::Active {
                return summary;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn create(&self) {
        must(self.client.create_stream().stream_name(STREAM).shard_count(2).tags("purpose", "interop").send().await);
        equal("open shards", self.await_active(STREAM).await.open_shard_count, 2);
        let tags = must(self.client.list_tags_for_stream().stream_name(STREAM).send().await).tags;
        equal("tags", (tags.len(), tags[0].key.as_str(), tags[0].value.as_deref()), (1, "purpose", Some("interop")));
        let shards = must(self.client.list_shards().stream_name(STREAM).send().await).shards.unwrap_or_default();
        equal("shards", shards.iter().map(|s| s.shard_id.as_str()).collect::<Vec<_>>(), SHARDS.to_vec());
        let ranges: Vec<_> = shards.iter().map(|s| s.hash_key_range.clone().unwrap())
            .map(|r| (r.starting_hash_key, r.ending_hash_key)).collect();
        let middle = 1u128 << 127;
        equal("hash ranges", ranges, vec![
            ("0".to_string(), (middle - 1).to_string()),
            (middle.to_string(), u128::MAX.to_string()),
        ]);
        println!("create: 2 shards, tagged, hash ranges without a hole");
    }

    fn remember(&mut self, shard: &str, put: Put) {
        equal("digits of a sequence number", put.sequence.len(), 56);
        self.records.get_mut(shard).unwrap().push(put);
    }

    pub async fn put_one(&mut self, key: &str, data: &[u8], hash: Option<String>, order: Option<String>, shard: &str) -> String {
        let out = must(self.client.put_record().stream_name(STREAM).partition_key(key).data(Blob::new(data))
            .set_explicit_hash_key(hash).set_sequence_number_for_ordering(order).send().await);
        equal(&format!("shard of {key}"), out.shard_id.as_str(), shard);
        self.remember(shard, Put { sequence: out.sequence_number.clone(), key: key.into(), data: data.into() });
        out.sequence_number
    }

    async fn put_many(&mut self, batch: &str) {
        let entries: Vec<_> = (0..20).map(|i| PutRecordsRequestEntry::builder().partition_key(format!("k{i}"))
            .data(Blob::new(format!("{batch} {i}"))).build().unwrap()).collect();
        let out = must(self.client.put_records().stream_name(STREAM).set_records(Some(entries.clone())).send().await);
        equal("failed records", out.failed_record_count, Some(0));
        equal("results of PutRecords", out.records.len(), entries.len());
        for (entry, result) in entries.iter().zip(&out.records) {
            let shard = result.shard_id.as_deref().unwrap();
            let key = entry.partition_key.clone().unwrap();
            equal(&format!("shard of {key}"), shard, shard_for(&key));
            self.remember(shard, Put { sequence: result.sequence_number.clone().unwrap(), key,
                data: entry.data.as_ref().into() });
        }
    }

    async fn put(&mut self) {
        let all: Vec<u8> = (0..=255).collect();
        self.put_one("every byte", &all, None, None, shard_for("every byte")).await;
        self.put_one("to the first", b"a", Some("0".into()), None, SHARDS[0]).await;
        self.put_one("to the last", b"b", Some(hash_limit(128)), None, SHARDS[1]).await;
        self.put_many("first").await;
        // The second batch has seconds of its own.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.batch2 = now.as_secs() + 1;
        tokio::time::sleep(Duration::from_secs(self.batch2) - now + Duration::from_millis(20)).await;
        self.put_many("second").await;
        let mut last: Option<String> = None;
        for i in 0..3 {
            let sequence = self.put_one("ordered", format!("ordered {i}").as_bytes(), None, last.clone(), shard_for("ordered")).await;
            if last.as_ref().is_some_and(|l| &sequence <= l) {
                mismatch(format!("sequence number {sequence} does not follow {last:?}"));
            }
            last = Some(sequence);
        }
        self.records.values_mut().for_each(|list| list.sort());
        println!("put: PutRecord, PutRecords, ExplicitHashKey, SequenceNumberForOrdering");
    }

    pub async fn register_consumer(&self, stream: &str, name: &str) -> String {
        let arn = self.await_active(stream).await.stream_arn;
        let out = must(self.client.register_stream_consumer().stream_arn(arn).consumer_name(name).send().await);
        let consumer = out.consumer.unwrap().consumer_arn;
        loop {
            let out = must(self.client.describe_stream_consumer().consumer_arn(&consumer).send().await);
            if out.consumer_description.unwrap().consumer_status == ConsumerStatus::Active {
                return consumer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn errors(&self) {
        refused("a missing stream", self.client.describe_stream_summary().stream_name("interop-missing").send().await,
            |e| e.is_resource_not_found_exception(), "Stream interop-missing under account 000000000000 not found.");
        refused("a stream's second creation", self.client.create_stream().stream_name(STREAM).shard_count(1).send().await,
            |e| e.is_resource_in_use_exception(), &format!("Stream {STREAM} under account 000000000000 already exists."));
        refused("a forged iterator", self.client.get_records().shard_iterator("AAAA").send().await,
            |e| e.is_invalid_argument_exception(), "Invalid ShardIterator.");
        refused("a missing shard", self.client.get_shard_iterator().stream_name(STREAM).shard_id("shardId-000000000099")
            .shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::Latest).send().await,
            |e| e.is_resource_not_found_exception(), "shardId-000000000099");
        refused("a wrong name", self.client.create_stream().stream_name("no spaces").shard_count(1).send().await,
            |e| e.code() == Some("ValidationException"),
            "1 validation error detected: Value 'no spaces' at 'streamName' failed to satisfy constraint: ");
        self.throttled().await;
        println!("errors: ResourceNotFound, ResourceInUse, InvalidArgument, Validation, ProvisionedThroughputExceeded");
    }

    /// Goes over a shard's megabyte a second, with one call and with one batch.
    async fn throttled(&self) {
        let config = aws_config::from_env().retry_config(aws_config::retry::RetryConfig::disabled()).load().await;
        let once = Client::new(&config);
        let big = Blob::new(vec![0u8; 900_000]);
        let mut result = Ok(());
        for _ in 0..20 {
            if result.is_ok() {
                result = once.put_record().stream_name(STREAM).partition_key("big").explicit_hash_key("0")
                    .data(big.clone()).send().await.map(|_| ());
            }
        }
        refused("too much for a shard", result, |e| e.is_provisioned_throughput_exceeded_exception(),
            &format!("Rate exceeded for shard shardId-000000000000 in stream {STREAM} under account 000000000000."));
        tokio::time::sleep(Duration::from_secs(2)).await; // the shard's capacity is back
        let entry = PutRecordsRequestEntry::builder().partition_key("big").explicit_hash_key("0").data(big).build().unwrap();
        let out = must(once.put_records().stream_name(STREAM).set_records(Some(vec![entry; 5])).send().await);
        let codes: Vec<_> = out.records.iter().filter_map(|r| r.error_code.as_deref()).collect();
        equal("errors of records", codes.iter().all(|c| *c == "ProvisionedThroughputExceededException"), true);
        equal("FailedRecordCount", out.failed_record_count, Some(codes.len() as i32));
        if codes.is_empty() || codes.len() == 5 {
            mismatch(format!("{} of 5 large records were refused", codes.len()));
        }
    }

    async fn delete(&self) {
        refused("deletion with a consumer", self.client.delete_stream().stream_name(STREAM).send().await,
            |e| e.is_resource_in_use_exception(), "");
        let arn = self.await_active(STREAM).await.stream_arn;
        must(self.client.deregister_stream_consumer().stream_arn(&arn).consumer_name("reader").send().await);
        while !must(self.client.list_stream_consumers().stream_arn(&arn).send().await).consumers().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        must(self.client.delete_stream().stream_name(STREAM).send().await);
        loop {
            match self.client.describe_stream_summary().stream_name(STREAM).send().await {
                Ok(out) => equal("status", out.stream_description_summary.unwrap().stream_status, StreamStatus::Deleting),
                gone => {
                    refused("the deleted stream", gone, |e| e.is_resource_not_found_exception(), "");
                    println!("delete: refused with a consumer, then gone");
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
