//! How requests and outputs are written.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How requests and outputs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Postcard,
    Json,
}

impl Codec {
    /// What it is called in the description of a stream.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postcard => "postcard",
            Self::Json => "json",
        }
    }

    pub(crate) fn write<T: Serialize>(self, value: &T) -> Result<Vec<u8>, String> {
        match self {
            Self::Postcard => postcard::to_stdvec(value).map_err(|error| error.to_string()),
            Self::Json => serde_json::to_vec(value).map_err(|error| error.to_string()),
        }
    }

    pub(crate) fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, String> {
        match self {
            Self::Postcard => match postcard::take_from_bytes(bytes) {
                Ok((value, [])) => Ok(value),
                Ok(_) => Err("there are bytes behind its end".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Self::Json => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
        }
    }
}

/// Under which key a request is queued: the first half of the BLAKE3 hash of its bytes, in hexadecimal digits. The same in every
/// program and on every machine, which `Hash` is not.
pub(crate) fn key_of(bytes: &[u8]) -> String {
    let hash = blake3::hash(bytes).to_hex();
    hash[..32].to_owned()
}

/// Where a request is queued whose place is taken by one that is not equal to it.
pub(crate) fn beside(subject: &str) -> String {
    format!("{subject}x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written() {
        for codec in [Codec::Postcard, Codec::Json] {
            let value = ("ä".to_owned(), 7u64, vec![Some(1u8), None]);
            let bytes = codec.write(&value).expect("it can be written");
            assert_eq!(codec.read(&bytes), Ok(value));
            let longer = [&bytes[..], b"0"].concat();
            assert!(
                codec
                    .read::<(String, u64, Vec<Option<u8>>)>(&longer)
                    .is_err()
            );
            assert!(codec.read::<String>(&[0xff]).is_err());
        }
    }

    #[test]
    fn a_key_is_the_same_everywhere() {
        // As `b3sum` prints it.
        assert_eq!(key_of(b""), "af1349b9f5f9a1a6a0404dea36dcc949");
    }
}
