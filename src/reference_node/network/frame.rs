//! One frame on the wire: length (4 bytes, big endian, of what follows), kind (1 byte), payload.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most bytes of a payload: sixteen of the largest blocks, which is also what a state of many thousand accounts fits in.
pub const FRAME_LIMIT: usize = 4 * 1_024 * 1_024 + 64 * 1_024;

/// Reserved for a payload before its bytes are there: a length is a claim until then.
const TRUSTED: usize = 64 * 1_024;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A step of the handshake; never after it.
    Handshake,
    /// "I am here." No payload.
    Ping,
    /// A consensus message: may be dropped when a queue is full, because consensus sends again.
    Consensus,
    /// Anything else of the node: transactions, receipts, crosslinks. Dropped last.
    Gossip,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Handshake => 1,
            Self::Ping => 2,
            Self::Consensus => 3,
            Self::Gossip => 4,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Handshake, Self::Ping, Self::Consensus, Self::Gossip]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }
}

/// An encoded frame; clones share the bytes.
#[derive(Clone, Debug)]
pub struct Frame {
    kind: Kind,
    bytes: Arc<[u8]>,
}

impl Frame {
    /// Frames a payload. None when it is longer than any receiver accepts.
    #[must_use]
    pub fn new(kind: Kind, payload: &[u8]) -> Option<Self> {
        if payload.len() > FRAME_LIMIT {
            return None;
        }
        let length = u32::try_from(payload.len() + 1).ok()?;
        let mut bytes = Vec::with_capacity(payload.len() + 5);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.push(kind.byte());
        bytes.extend_from_slice(payload);
        Some(Self {
            kind,
            bytes: bytes.into(),
        })
    }

    /// The frame that says nothing.
    pub(super) fn ping() -> Self {
        Self {
            kind: Kind::Ping,
            bytes: [0, 0, 0, 1, Kind::Ping.byte()].into(),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads one frame of at most `limit` payload bytes.
///
/// # Errors
/// What the socket says, or `InvalidData` for a length or kind that no honest peer sends. Not cancel-safe: a caller
/// that gives up in the middle must close the connection.
pub(super) async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
    limit: usize,
) -> io::Result<(Kind, Vec<u8>)> {
    let length = reader.read_u32().await? as usize;
    if length == 0 || length > limit + 1 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("frame of {length} bytes"),
        ));
    }
    let kind = reader.read_u8().await?;
    let kind = Kind::of(kind).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("frame of unknown kind {kind}"),
        )
    })?;
    let mut payload = Vec::with_capacity((length - 1).min(TRUSTED));
    let read = reader
        .take(length as u64 - 1)
        .read_to_end(&mut payload)
        .await?;
    if read != length - 1 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((kind, payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn what_is_written_is_read() {
        let frame = Frame::new(Kind::Gossip, b"payload").unwrap();
        let (kind, payload) = run(read(&mut frame.bytes(), 7)).unwrap();
        assert_eq!(
            (kind, payload.as_slice()),
            (Kind::Gossip, b"payload".as_slice())
        );
        let (kind, payload) = run(read(&mut Frame::ping().bytes(), 0)).unwrap();
        assert_eq!((kind, payload.len()), (Kind::Ping, 0));
    }

    #[test]
    fn too_long_is_refused_on_both_sides() {
        assert!(Frame::new(Kind::Gossip, &vec![0; FRAME_LIMIT + 1]).is_none());
        let frame = Frame::new(Kind::Gossip, b"payload").unwrap();
        assert_eq!(
            run(read(&mut frame.bytes(), 6)).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let claim = [0xff, 0xff, 0xff, 0xff, 3];
        assert_eq!(
            run(read(&mut claim.as_slice(), FRAME_LIMIT))
                .unwrap_err()
                .kind(),
            io::ErrorKind::InvalidData
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = run(read(&mut bytes.as_slice(), 32));
        }
    }
}
