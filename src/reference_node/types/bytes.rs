//! Fixed-size byte strings: text as `0x` and hex for people and JSON, raw bytes on the wire.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A text that is not `0x` and the right number of hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes as hex digits")]
pub struct HexError {
    expected: usize,
}

macro_rules! byte_string {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// Length in bytes.
            pub const SIZE: usize = $size;
            /// All bytes zero.
            pub const ZERO: $name = $name([0; $size]);

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The hex digits without `0x`, as Harmony writes keys and signatures.
            pub fn to_hex(&self) -> String {
                hex::encode(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("0x")?;
                self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0[..4].iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                let mut bytes = [0; $size];
                hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
                    .map_err(|_| HexError { expected: $size })?;
                Ok($name(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                } else {
                    deserializer.deserialize_bytes(FixedBytes::<$size>).map($name)
                }
            }
        }
    };
}

struct FixedBytes<const SIZE: usize>;

impl<'de, const SIZE: usize> Visitor<'de> for FixedBytes<SIZE> {
    type Value = [u8; SIZE];

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{SIZE} bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        bytes
            .try_into()
            .map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut bytes = [0; SIZE];
        for (position, byte) in bytes.iter_mut().enumerate() {
            *byte = sequence
                .next_element()?
                .ok_or_else(|| A::Error::invalid_length(position, &self))?;
        }
        Ok(bytes)
    }
}

byte_string!(
    /// A SHA-256 digest.
    Hash,
    32
);
byte_string!(
    /// An account.
    Address,
    20
);
byte_string!(
    /// A node's BLS12-381 public key, compressed (a point of G1).
    PublicKey,
    48
);
byte_string!(
    /// A BLS12-381 signature or an aggregate of several, compressed (a point of G2).
    Signature,
    96
);
byte_string!(
    /// An Ed25519 public key, which names the sender of a transaction.
    TransactionKey,
    32
);
byte_string!(
    /// An Ed25519 signature.
    TransactionSignature,
    64
);

impl Hash {
    /// The digest of `parts`, one after the other. Callers see to it that the parts cannot be split differently.
    pub fn of(parts: &[&[u8]]) -> Hash {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part);
        }
        Hash(digest.finalize().into())
    }

    /// The digest of a value's canonical encoding, after a tag that keeps kinds of values apart.
    pub fn of_value<T: Serialize + ?Sized>(tag: &'static str, value: &T) -> Hash {
        Hash::of(&[tag.as_bytes(), &[0], &super::encode(value)])
    }
}

impl Address {
    /// The account of an Ed25519 key.
    pub fn of_key(key: &TransactionKey) -> Address {
        Address::first_of(&Hash::of(&[b"account\0", key.as_bytes()]))
    }

    /// The account that a validator's rewards go to.
    pub fn of_validator(key: &PublicKey) -> Address {
        Address::first_of(&Hash::of(&[b"validator\0", key.as_bytes()]))
    }

    fn first_of(hash: &Hash) -> Address {
        let mut bytes = [0; Address::SIZE];
        bytes.copy_from_slice(&hash.0[..Address::SIZE]);
        Address(bytes)
    }
}
