//! What nodes' FUSE disks would lose with their power, as the processes that serve them tell it.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::{Context, access::Access};
use crate::{
    disk::faulty::Unsynced,
    ids::NodeName,
    journal::{event::Event, text::clean},
};

/// Wait before the log of a disk's process is read again, when the engine broke off.
const RECONNECT: Duration = Duration::from_secs(1);

/// Follows what a disk's process tells until nobody listens.
pub async fn run_unsynced<A: Access>(context: Context<A>, node: NodeName, container: String) {
    let mut since = 0;
    while !context.sink.is_closed() {
        let mut chunks = context.access.follow_logs(&container, since);
        while let Some(Ok(chunk)) = chunks.next().await {
            if let Some(nanos) = chunk.time_nanos {
                since = i64::try_from(nanos / 1_000_000_000).unwrap_or(since);
            }
            // Lines that are not of this form are last words, which the end of the process is told with.
            if let Ok(told) = serde_json::from_slice::<Unsynced>(&chunk.bytes) {
                context.sink.offer(Event::Unsynced {
                    node: node.clone(),
                    bytes: told.bytes,
                    files: told.files,
                    names: told.names,
                    oldest: told.oldest,
                    // A node names its files as it likes.
                    most: clean(&told.most, 200),
                    written_back: told.written_back,
                });
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}
