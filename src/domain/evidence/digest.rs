//! Whether the policy is another one than before, as far as an instance can know without a table.
//!
//! Pure. Each document names the policy that it went by, and an instance remembers the last of them alone.

use crate::domain::cause::Cause;

/// The policy that an instance wrote its last document by.
#[derive(Debug, Default)]
pub struct LastDigest(Option<String>);

impl LastDigest {
    /// Whether a document by the policy of this digest is the first one by another policy. An instance that has written none yet does
    /// not know the policy before: there the sweep that follows each change of the parameter says so, as well where only the mode changed.
    pub fn changes(&mut self, digest: &str, cause: &Cause) -> bool {
        match self.0.replace(digest.to_owned()) {
            Some(before) => before != digest,
            None => cause.is_a_new_policy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cause::PARAMETER_CHANGE;
    use crate::domain::text::EventText;

    #[test]
    fn another_policy_is_noticed_once() {
        let cause = |call| Cause { call: EventText::new(call), event_id: None, actor: None, at: None, creator: None };
        let (event, sweep) = (cause("CreateStream"), cause(PARAMETER_CHANGE));
        for (documents, changes) in [
            // The first document of an instance says nothing, unless its cause does.
            (vec![("a", &event), ("a", &event), ("a", &sweep)], [false, false, false]),
            (vec![("a", &sweep), ("a", &sweep), ("a", &event)], [true, false, false]),
            // Whatever the cause is, once for each change, and for the way back too.
            (vec![("a", &event), ("b", &event), ("b", &sweep)], [false, true, false]),
            (vec![("a", &event), ("b", &sweep), ("a", &event)], [false, true, true]),
        ] {
            let mut last = LastDigest::default();
            let found: Vec<bool> = documents.iter().map(|(digest, cause)| last.changes(digest, cause)).collect();
            assert_eq!(found, changes, "{documents:?}");
        }
    }
}
