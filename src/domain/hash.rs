//! One hash for all that has to be spread evenly, and the same in every process.

use sha2::{Digest, Sha256};

/// The first eight bytes of the text's SHA-256.
pub fn hash(text: &str) -> u64 {
    Sha256::digest(text.as_bytes()).iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_that_of_sha256() {
        // printf orders | sha256sum
        assert_eq!(format!("{:016x}", super::hash("orders")), "1c168adb00d208e4");
    }
}
