//! Disks that are old when their nodes meet them: on each kind, by what the file system says afterwards.

use std::path::Path;

use canarynet::{
    engine::toolbox::FillOutcome,
    plan::{AgePlan, DiskKind},
};

use super::{engine, finish, network, run_id, start, toolbox};

const PIECE: u64 = 64 << 10;

/// One node on a disk of this kind, seven tenths full.
async fn aged(kind: DiskKind, size: u64, fragments: Option<u64>) {
    let Some(docker) = engine().await else { return };
    let run = run_id("aged");
    let mut network = network(1, 1, kind, size);
    network.disk.age = Some(AgePlan {
        fill: 700_000,
        fragments,
    });
    let launched = start(&docker, &run, &network).await.unwrap();
    let result = tokio::spawn({
        let (docker, launched) = (docker.clone(), launched.clone());
        async move {
            let node = launched.nodes.values().next().unwrap();
            let level = node.aged.clone().unwrap();
            eprintln!("{kind:?}: {level:?}");
            let share = level.used as f64 / level.size as f64;
            assert!((0.69..0.71).contains(&share), "{kind:?}: {share}");
            assert!(level.before < level.size / 4, "{level:?}");
            if kind.is_block() {
                let (before, after) = (level.pieces_before.unwrap(), level.pieces.unwrap());
                // What is free is in pieces of 64 KiB, give or take what the file system itself has in between.
                let expected = u32::try_from(after.bytes / PIECE).unwrap();
                assert!(before.extents <= 2, "{before:?}");
                assert!(after.extents >= expected / 2, "{after:?} of {expected}");
            }
            // The node has the rest, and no more.
            let free = level.size - level.used;
            let filled: FillOutcome = toolbox(
                &docker,
                &launched,
                &node.container_id,
                &["fill", "/data/own"],
            )
            .await;
            assert_eq!(filled.error, Some(28), "ENOSPC");
            let near = free - free / 10..=free + free / 50;
            assert!(near.contains(&filled.bytes), "{} of {free}", filled.bytes);
        }
    })
    .await;
    finish(&docker, &run).await;
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_in_memory_is_filled_before_its_node_starts() {
    aged(DiskKind::Tmpfs, 16 << 20, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ext4_disk_is_filled_and_what_is_free_is_in_pieces() {
    aged(DiskKind::Ext4, 32 << 20, Some(PIECE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuse_disk_is_filled_like_the_one_behind_it() {
    aged(DiskKind::Faulty, 16 << 20, Some(PIECE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xfs_disk_is_filled_and_what_is_free_is_in_pieces() {
    let path = std::env::var("PATH").unwrap_or_default();
    let there = |folder: &str| Path::new(folder).join("mkfs.xfs").exists();
    if !path.split(':').chain(["/sbin", "/usr/sbin"]).any(there) {
        eprintln!("SKIPPED, NOTHING WAS TESTED: this machine has no mkfs.xfs (install xfsprogs)");
        return;
    }
    aged(DiskKind::Xfs, 300 << 20, Some(PIECE)).await;
}
