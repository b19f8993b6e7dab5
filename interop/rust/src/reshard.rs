use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition, SubscribeToShardEventStream};
use aws_sdk_kinesis::Client;

use crate::read::puts;
use crate::{equal, hash_limit, mismatch, must, Put, Script, READ_PAUSE, SHARDS};

const NAME: &str = "interop-rust-reshard";

/// Puts until told to stop; what was acknowledged, as (key, data), in order within each key.
async fn write(client: Client, writing: Arc<AtomicBool>, acked: Arc<Mutex<Vec<(String, String)>>>) {
    for i in 0.. {
        if !writing.load(Ordering::Relaxed) {
            return;
        }
        let (key, data) = (format!("key{}", i % 7), format!("{i:06}"));
        must(client.put_record().stream_name(NAME).partition_key(&key).data(Blob::new(data.clone())).send().await);
        acked.lock().unwrap().push((key, data));
    }
}

async fn split_and_merge(script: &Script, writing: &AtomicBool) {
    let pause = || tokio::time::sleep(Duration::from_millis(400));
    pause().await;
    must(script.client.split_shard().stream_name(NAME).shard_to_split(SHARDS[0]).new_starting_hash_key(hash_limit(127)).send().await);
    equal("open shards after the split", script.await_active(NAME).await.open_shard_count, 2);
    pause().await;
    must(script.client.merge_shards().stream_name(NAME).shard_to_merge("shardId-000000000001")
        .adjacent_shard_to_merge("shardId-000000000002").send().await);
    equal("open shards after the merge", script.await_active(NAME).await.open_shard_count, 1);
    pause().await;
    writing.store(false, Ordering::Relaxed);
}

/// Reads from the first shard through all children, each once its parents are read, until enough.
async fn follow(script: &Script, enough: impl Fn(usize) -> bool) -> (Vec<Put>, BTreeSet<String>) {
    let start = |shard: String| async move {
        let iterator = script.iterator(NAME, &shard, ShardIteratorType::TrimHorizon, None, None).await;
        (shard, iterator)
    };
    let (mut seen, mut ended) = (vec![], BTreeSet::new());
    let mut open: BTreeMap<String, String> = [start(SHARDS[0].into()).await].into();
    while !enough(seen.len()) {
        for (shard, iterator) in open.clone() {
            let out = must(script.client.get_records().shard_iterator(iterator).send().await);
            seen.extend(puts(&out.records));
            let children = out.child_shards.unwrap_or_default();
            if let Some(next) = out.next_shard_iterator {
                equal("ChildShards of an open shard", children.len(), 0);
                open.insert(shard, next);
                continue;
            }
            if children.is_empty() {
                mismatch(format!("{shard} ended without ChildShards"));
            }
            open.remove(&shard);
            ended.insert(shard.clone());
            for child in children {
                if !child.parent_shards.contains(&shard) || child.hash_key_range.is_none() {
                    mismatch(format!("child of {shard} is {child:?}"));
                }
                if child.parent_shards.iter().all(|p| ended.contains(p)) {
                    let (id, iterator) = start(child.shard_id).await;
                    open.insert(id, iterator);
                }
            }
        }
        tokio::time::sleep(READ_PAUSE).await;
    }
    (seen, ended)
}

impl Script {
    pub async fn reshard(&self) {
        must(self.client.create_stream().stream_name(NAME).shard_count(1).send().await);
        self.await_active(NAME).await;
        let writing = Arc::new(AtomicBool::new(true));
        let acked = Arc::new(Mutex::new(vec![]));
        let writer = tokio::spawn(write(self.client.clone(), writing.clone(), acked.clone()));
        let deadline = Instant::now() + Duration::from_secs(90);
        let enough = |seen| writer.is_finished() && seen >= acked.lock().unwrap().len() || Instant::now() > deadline;
        let (_, (seen, ended)) = tokio::join!(split_and_merge(self, &writing), follow(self, enough));
        must(writer.await);

        let acked = acked.lock().unwrap().clone();
        let mut want: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, data) in &acked {
            want.entry(key.clone()).or_default().push(data.clone());
        }
        let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for put in seen {
            got.entry(put.key).or_default().push(String::from_utf8(put.data).unwrap());
        }
        equal("what the reader saw", got, want);
        equal("shards read to their end", ended.len(), 3);

        let shards = must(self.client.list_shards().stream_name(NAME).send().await).shards.unwrap_or_default();
        equal("shards in all", shards.len(), 4);
        let merged = shards.iter().find(|s| s.shard_id == "shardId-000000000003").unwrap();
        equal("parents of the merged shard", (merged.parent_shard_id.as_deref(), merged.adjacent_parent_shard_id.as_deref()),
            (Some("shardId-000000000001"), Some("shardId-000000000002")));
        self.subscribe_to_closed().await;
        must(self.client.delete_stream().stream_name(NAME).enforce_consumer_deletion(true).send().await);
        println!("reshard: split and merge below a reader, {} records each seen once and in order; \
            a closed shard's subscription ends with its children", acked.len());
    }

    async fn subscribe_to_closed(&self) {
        let consumer = self.register_consumer(NAME, "late").await;
        let start = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build().unwrap();
        let mut stream = must(self.client.subscribe_to_shard().consumer_arn(consumer).shard_id(SHARDS[0])
            .starting_position(start).send().await).event_stream;
        let mut last = None;
        while let Some(event) = must(stream.recv().await) {
            if let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event {
                last = Some(event);
            }
        }
        let last = last.unwrap_or_else(|| mismatch("the subscription to a closed shard ended without an event"));
        equal("children in the last event", last.child_shards.unwrap_or_default().len(), 2);
        equal("ContinuationSequenceNumber of the last event", last.continuation_sequence_number, "");
    }
}
