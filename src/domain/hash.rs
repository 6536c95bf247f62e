//! One hash for all that has to be spread evenly, and the same in every process.

use sha2::{Digest, Sha256};

/// The first eight bytes of the text's SHA-256.
pub fn hash(text: &str) -> u64 {
    Sha256::digest(text.as_bytes()).iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// The text's SHA-256, in hexadecimal digits.
pub fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An id in the form of a UUID of version 8 (RFC 9562) that follows from these texts: other texts have another one.
pub fn uuid(texts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        // With its length, so that no two lists are one.
        digest.update(text.len().to_be_bytes());
        digest.update(text.as_bytes());
    }
    let bits = digest.finalize().iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let (high, middle, low) = (bits >> 80, (bits >> 64) & 0xfff, bits & 0x3fff_ffff_ffff_ffff);
    let (first, second, variant) = (high >> 16, high & 0xffff, 0x8000 | (low >> 48));
    format!("{first:08x}-{second:04x}-8{middle:03x}-{variant:04x}-{:012x}", low & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_follows_from_its_texts() {
        let id = super::uuid(&["run", "orders"]);
        assert_eq!(id, super::uuid(&["run", "orders"]));
        let of_hex = |(place, it): (usize, char)| {
            if [8, 13, 18, 23].contains(&place) { it == '-' } else { it.is_ascii_hexdigit() }
        };
        assert!(id.len() == 36 && id.chars().enumerate().all(of_hex), "{id}");
        assert!(id.chars().nth(14) == Some('8') && id.chars().nth(19).is_some_and(|it| "89ab".contains(it)), "{id}");
        for others in [&["run", "order"][..], &["runo", "rders"], &["run", "orders", ""], &[]] {
            assert_ne!(id, super::uuid(others), "{others:?}");
        }
    }

    #[test]
    fn it_is_that_of_sha256() {
        // printf orders | sha256sum
        assert_eq!(format!("{:016x}", super::hash("orders")), "1c168adb00d208e4");
    }
}
