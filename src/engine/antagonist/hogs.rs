//! Processor time and memory, taken within the node's own limits.

use std::{
    fs,
    hint::black_box,
    io,
    time::{Duration, Instant},
};

use super::Stage;

/// Memory is taken in steps, and looked at after each.
const STEP: usize = 1 << 20;
/// Beyond this a container has no limit worth the name.
const MOST: usize = 16 << 10;

/// Busy threads.
pub(super) fn cpu(stage: &Stage, threads: u32) -> Result<(), io::Error> {
    let until = stage.until;
    for _ in 1..threads.max(1) {
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || spin(until))?;
    }
    let before = own_ticks()?;
    let begun = Instant::now();
    spin((begun + Duration::from_millis(300)).min(until));
    let used = own_ticks()?.saturating_sub(before);
    stage.tell(
        used > 0,
        format!(
            "{threads} threads used {} ms of processor time in {} ms",
            used * 10,
            begun.elapsed().as_millis()
        ),
    );
    spin(until);
    Ok(())
}

fn spin(until: Instant) {
    let mut number = 1_u64;
    while Instant::now() < until {
        for _ in 0..100_000 {
            number = black_box(
                number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
    }
}

/// Processor time of this process, in hundredths of a second.
fn own_ticks() -> Result<u64, io::Error> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let rest = text.rsplit(')').next().unwrap_or_default();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok());
    Ok(ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0))
}

/// Takes memory until `leave` bytes of the container's limit are left.
pub(super) fn memory(stage: &Stage, leave: u64) -> Result<(), io::Error> {
    // If the limit is met all the same, the hog goes first, not the node. Where that is not allowed, so be it.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let (used, limit) = charged()?;
    let mut taken: Vec<Vec<u8>> = Vec::new();
    let mut now = used;
    while now.saturating_add(leave).saturating_add(STEP as u64) <= limit && taken.len() < MOST {
        // Written, page by page: memory that nobody touched is not taken.
        let mut block = vec![0_u8; STEP];
        for page in block.chunks_mut(4096) {
            page[0] = 1;
        }
        taken.push(black_box(block));
        now = charged()?.0;
    }
    stage.tell(
        !taken.is_empty(),
        format!(
            "{} MiB taken, {now} of {limit} bytes are charged",
            taken.len()
        ),
    );
    stage.stay(|| {
        black_box(&taken);
    });
    Ok(())
}

/// Bytes charged to this container, and its limit.
fn charged() -> Result<(u64, u64), io::Error> {
    let number = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let one = "/sys/fs/cgroup/memory";
    let two = "/sys/fs/cgroup";
    let used = number(&format!("{one}/memory.usage_in_bytes"))
        .or_else(|| number(&format!("{two}/memory.current")));
    let limit = number(&format!("{one}/memory.limit_in_bytes"))
        .or_else(|| number(&format!("{two}/memory.max")))
        .filter(|limit| *limit < 1 << 60);
    match (used, limit) {
        (Some(used), Some(limit)) => Ok((used, limit)),
        _ => Err(io::Error::other("the container has no memory limit")),
    }
}
