//! CBOR (RFC 8949) as the protocol `rpc-v2-cbor` has it, to and from JSON: CloudWatch's SDK speaks it. A time is `{"time": SECONDS}`.

use serde_json::{Map, Number, Value, json};

/// Writes a value out.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, value);
    bytes
}

fn write(to: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => to.push(0xf6),
        Value::Bool(yes) => to.push(if *yes { 0xf5 } else { 0xf4 }),
        Value::Number(number) => {
            to.push(0xfb);
            to.extend(number.as_f64().unwrap().to_be_bytes());
        }
        Value::String(text) => {
            head(to, 3, text.len());
            to.extend(text.as_bytes());
        }
        Value::Array(all) => {
            head(to, 4, all.len());
            all.iter().for_each(|one| write(to, one));
        }
        Value::Object(all) if all.len() == 1 && all.contains_key("time") => {
            head(to, 6, 1);
            write(to, &all["time"]);
        }
        Value::Object(all) => {
            head(to, 5, all.len());
            for (name, one) in all {
                write(to, &json!(name));
                write(to, one);
            }
        }
    }
}

fn head(to: &mut Vec<u8>, major: u8, length: usize) {
    to.push((major << 5) | 26);
    to.extend(u32::try_from(length).unwrap().to_be_bytes());
}

/// Reads one value.
pub(crate) fn decode(bytes: &[u8]) -> Value {
    let mut at = 0;
    let value = read(bytes, &mut at).unwrap();
    assert_eq!(at, bytes.len(), "nothing behind it");
    value
}

/// `None` for the end of what has no length.
fn read(bytes: &[u8], at: &mut usize) -> Option<Value> {
    let mut take = |count: usize| {
        let taken = &bytes[*at..*at + count];
        *at += count;
        taken.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let first = take(1);
    let (major, low) = (first >> 5, first & 31);
    let length = match low {
        0..=23 => Some(low),
        24..=27 => Some(take(1 << (low - 24))),
        _ => None,
    };
    let count = |length: Option<u64>| length.map_or(usize::MAX, |length| usize::try_from(length).unwrap());
    Some(match (major, low) {
        (7, 31) => return None,
        (0, _) => json!(length.unwrap()),
        (1, _) => json!(-1 - i64::try_from(length.unwrap()).unwrap()),
        (3, _) => {
            let end = *at + count(length);
            let text = std::str::from_utf8(&bytes[*at..end]).unwrap();
            *at = end;
            json!(text)
        }
        (4, _) => (0..count(length)).map_while(|_| read(bytes, at)).collect(),
        (5, _) => {
            let entry = |_| Some((read(bytes, at)?.as_str().unwrap().to_owned(), read(bytes, at).unwrap()));
            Value::Object((0..count(length)).map_while(entry).collect::<Map<_, _>>())
        }
        (6, _) => json!({ "time": read(bytes, at).unwrap() }),
        (7, 20) => json!(false),
        (7, 21) => json!(true),
        (7, 22) => Value::Null,
        (7, 26) => json!(f32::from_bits(u32::try_from(length.unwrap()).unwrap())),
        (7, 27) => Value::Number(Number::from_f64(f64::from_bits(length.unwrap())).unwrap()),
        _ => panic!("a value of kind {major} {low}"),
    })
}
