//! The probe: the one record that Streamseal writes into a stream, so that PutRecord's answer proves the encryption.
//!
//! For those who consume a stream: it is a normal record and reaches every consumer. Its partition key identifies it,
//! [`PROBE_PARTITION_KEY`], and its data is always exactly [`PROBE_DATA`], with nothing of the stream or of anybody in it.
//! Skip it.

/// The partition key of every probe, and of nothing else that Streamseal writes.
pub const PROBE_PARTITION_KEY: &str = "streamseal-probe";

/// The data of every probe: a JSON object that says what it is.
pub const PROBE_DATA: &str =
    r#"{"streamseal":"probe","v":1,"info":"synthetic record that proves encryption; ignore it"}"#;

/// Where the probe's partition key falls among the shards' hash key ranges: MD5 of the key as a 128-bit number, which is how
/// Kinesis maps keys to shards (Kinesis API reference, PutRecord).
pub const PROBE_HASH: u128 = 0xf60b_9bb6_5c84_c713_75cf_5a04_6881_695e;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_json_that_names_itself() {
        let data: serde_json::Value = serde_json::from_str(PROBE_DATA).unwrap();
        assert_eq!(data["streamseal"], "probe");
        assert_eq!(data["v"], 1);
    }

    #[test]
    fn the_hash_is_that_of_the_key() {
        // printf streamseal-probe | md5sum
        assert_eq!(PROBE_PARTITION_KEY, "streamseal-probe", "a new key needs a new hash");
        assert_eq!(format!("{PROBE_HASH:032x}"), "f60b9bb65c84c71375cf5a046881695e");
    }
}
