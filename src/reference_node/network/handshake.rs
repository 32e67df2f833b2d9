//! Both sides prove who they are by signing a fresh challenge of the other.
//!
//! ```text
//!   dialer                                   acceptor
//!     | Hello(network, dialer, acceptor, n1)    |
//!     |---------------------------------------->|  known network and neighbour?
//!     |      Challenge(n2, signature of accept) |
//!     |<----------------------------------------|
//!     | Proof(signature of dial)                |
//!     |---------------------------------------->|
//! ```
//!
//! Each signature covers its direction, the network, both names and both challenges, so that none can be replayed
//! to another node, another network or another connection.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::frame::{self, Frame, Kind};
use super::{NodeId, Shared};
use crate::reference_node::crypto::{Crypto, Domain};
use crate::reference_node::types::{Hash, Signature, decode, encode};

/// No step of a handshake is longer.
const STEP_LIMIT: usize = 512;

type Challenge = [u8; 32];

#[derive(Serialize, Deserialize)]
struct Hello {
    network: Hash,
    dialer: NodeId,
    acceptor: NodeId,
    challenge: Challenge,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    challenge: Challenge,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
struct Proof {
    signature: Signature,
}

/// What a side signs.
#[derive(Serialize)]
struct Transcript<'a> {
    side: &'static str,
    network: &'a Hash,
    dialer: NodeId,
    acceptor: NodeId,
    dialer_challenge: Challenge,
    acceptor_challenge: Challenge,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the connection failed in the handshake")]
    Socket(#[from] io::Error),
    #[error("a malformed step of the handshake")]
    Malformed,
    #[error("another network, or no neighbour of this node")]
    Stranger,
    #[error("{0} did not prove its key")]
    Unproven(NodeId),
    #[error("no randomness for a challenge")]
    NoChallenge,
}

pub(super) async fn dial<C: Crypto>(
    shared: &Shared<C>,
    peer: NodeId,
    stream: &mut TcpStream,
) -> Result<(), HandshakeError> {
    let mine = challenge()?;
    send(
        stream,
        &Hello {
            network: shared.network,
            dialer: shared.node,
            acceptor: peer,
            challenge: mine,
        },
    )
    .await?;
    let answer: Answer = receive(stream).await?;
    let transcript = |side| {
        encode(&Transcript {
            side,
            network: &shared.network,
            dialer: shared.node,
            acceptor: peer,
            dialer_challenge: mine,
            acceptor_challenge: answer.challenge,
        })
    };
    if !shared
        .crypto
        .verify(peer, Domain::Link, &transcript("accept"), &answer.signature)
    {
        return Err(HandshakeError::Unproven(peer));
    }
    send(
        stream,
        &Proof {
            signature: shared.crypto.sign(Domain::Link, &transcript("dial")),
        },
    )
    .await
}

/// Returns the peer that proved itself.
pub(super) async fn accept<C: Crypto>(
    shared: &Shared<C>,
    stream: &mut TcpStream,
) -> Result<NodeId, HandshakeError> {
    let hello: Hello = receive(stream).await?;
    let dials_us = hello.dialer < shared.node && shared.links.contains_key(&hello.dialer);
    if hello.network != shared.network || hello.acceptor != shared.node || !dials_us {
        return Err(HandshakeError::Stranger);
    }
    let mine = challenge()?;
    let transcript = |side| {
        encode(&Transcript {
            side,
            network: &shared.network,
            dialer: hello.dialer,
            acceptor: shared.node,
            dialer_challenge: hello.challenge,
            acceptor_challenge: mine,
        })
    };
    let signature = shared.crypto.sign(Domain::Link, &transcript("accept"));
    send(
        stream,
        &Answer {
            challenge: mine,
            signature,
        },
    )
    .await?;
    let proof: Proof = receive(stream).await?;
    if shared.crypto.verify(
        hello.dialer,
        Domain::Link,
        &transcript("dial"),
        &proof.signature,
    ) {
        Ok(hello.dialer)
    } else {
        Err(HandshakeError::Unproven(hello.dialer))
    }
}

fn challenge() -> Result<Challenge, HandshakeError> {
    let mut bytes = [0; 32];
    match rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()) {
        Ok(32) => Ok(bytes),
        _ => Err(HandshakeError::NoChallenge),
    }
}

async fn send<T: Serialize>(stream: &mut TcpStream, step: &T) -> Result<(), HandshakeError> {
    let frame = Frame::new(Kind::Handshake, &encode(step)).ok_or(HandshakeError::Malformed)?;
    Ok(stream.write_all(frame.bytes()).await?)
}

async fn receive<T: serde::de::DeserializeOwned>(
    stream: &mut TcpStream,
) -> Result<T, HandshakeError> {
    match frame::read(stream, STEP_LIMIT).await? {
        (Kind::Handshake, payload) => {
            decode(&payload, STEP_LIMIT).map_err(|_| HandshakeError::Malformed)
        }
        _ => Err(HandshakeError::Malformed),
    }
}
