//! What the judge knows, as bytes: so that who takes a run over need not judge weeks again.
//!
//! The form is small, fast and this build's own: no field has a name in it, so that no other build can read it. Whoever
//! stores it stores beside it which build it is of (`run/checkpoint.rs` does).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

/// Why state could not be kept or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptError {
    /// It cannot be written.
    #[error("the judge's state cannot be written")]
    Write(#[source] postcard::Error),
    /// It cannot be read.
    #[error("the judge's state cannot be read")]
    Read(#[source] postcard::Error),
    /// There is more than was written.
    #[error("the judge's state has {0} bytes too many")]
    Longer(usize),
    /// It is of other detectors.
    #[error("the judge's state is not of these detectors")]
    Detectors,
}

/// State that can be kept and restored. All that can be serialised is: a new detector needs no more than the derives.
pub trait Kept {
    /// The state in bytes.
    ///
    /// # Errors
    /// When it cannot be written in this form.
    fn keep(&self) -> Result<Vec<u8>, KeptError>;

    /// Puts a kept state in the place of the present one, which stays as it is where that fails.
    ///
    /// # Errors
    /// When the bytes are none, or have more than one.
    fn restore(&mut self, kept: &[u8]) -> Result<(), KeptError>;
}

impl<T: Serialize + DeserializeOwned> Kept for T {
    fn keep(&self) -> Result<Vec<u8>, KeptError> {
        write(self)
    }

    fn restore(&mut self, kept: &[u8]) -> Result<(), KeptError> {
        *self = read(kept)?;
        Ok(())
    }
}

/// A value in bytes.
///
/// # Errors
/// When it cannot be written in this form.
pub fn write<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, KeptError> {
    postcard::to_stdvec(value).map_err(KeptError::Write)
}

/// A value from its bytes, all of them.
///
/// # Errors
/// When they are no such value, or more than one.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, KeptError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(KeptError::Read)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(KeptError::Longer(rest.len()))
    }
}

/// Bytes that are kept as one piece: as numbers one by one they would take ten times as long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Visitor)
    }
}

/// For what leaves fields out when it is written (`skip_serializing_if`): a form without names cannot tell which. It is
/// kept as JSON.
pub mod by_name {
    use serde::{
        Deserialize as _, Deserializer, Serialize, Serializer, de::DeserializeOwned,
        de::Error as _, ser::Error as _,
    };

    /// For `serde(with)`.
    ///
    /// # Errors
    /// As JSON's and the serializer's.
    pub fn serialize<T: Serialize, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(value).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }

    /// For `serde(with)`.
    ///
    /// # Errors
    /// As JSON's and the deserializer's.
    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    struct State {
        numbers: Vec<u64>,
        #[serde(with = "by_name")]
        named: Named,
    }

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    struct Named {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_out: Option<u64>,
        there: String,
    }

    #[test]
    fn what_is_kept_is_restored_also_what_leaves_fields_out() {
        for left_out in [None, Some(7)] {
            let named = Named {
                left_out,
                there: "x".to_owned(),
            };
            let state = State {
                numbers: vec![1, u64::MAX],
                named,
            };
            let mut restored = State::default();
            restored.restore(&state.keep().unwrap()).unwrap();
            assert_eq!(restored, state);
        }
    }

    #[test]
    fn what_is_cut_or_longer_is_refused_and_changes_nothing() {
        let state = State {
            numbers: vec![1, 2, 3],
            named: Named::default(),
        };
        let kept = state.keep().unwrap();
        let mut other = State::default();
        for length in 0..kept.len() {
            assert!(matches!(
                other.restore(&kept[..length]),
                Err(KeptError::Read(_))
            ));
        }
        let longer = [kept.as_slice(), &[0]].concat();
        assert!(matches!(other.restore(&longer), Err(KeptError::Longer(1))));
        assert_eq!(other, State::default());
    }

    #[test]
    fn bytes_are_one_piece() {
        let bytes = Bytes(vec![200; 1_000]);
        let kept = write(&bytes).unwrap();
        assert_eq!(kept.len(), 1_002);
        assert_eq!(read::<Bytes>(&kept).unwrap(), bytes);
    }
}
