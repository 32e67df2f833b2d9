//! Tests of the chain over several shards at once.

mod bad_blocks;
mod conservation;
mod harness;
mod hostile_bytes;
mod limits;
mod rows;
