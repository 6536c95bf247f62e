//! Yes, no, or unknown with the reason.

use std::fmt;

use crate::domain::text::EventText;

/// An answer of the evaluator. *Unknown* keeps the first reason that was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is so, whatever is not known.
    Yes,
    /// It is not so, whatever is not known.
    No,
    /// It depends on what is not known.
    Unknown(Doubt),
}

/// Why something is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The whole document, or a part of it, is not what the language of policies has.
    Unreadable(EventText),
    /// A condition on a key whose value is not known before the call.
    Key(EventText),
    /// A condition operator that is not evaluated here.
    Operator(EventText),
    /// A value with a policy variable.
    Variable(EventText),
    /// A principal that may or may not be the one asked about, such as one session of a role.
    Principal(EventText),
    /// Something that was not read, such as the grants of a key.
    Unread(EventText),
    /// An ARN pattern that matches only if `*` spans a colon.
    Pattern(EventText),
}

impl Truth {
    /// The answer to a question that was decided.
    pub fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Both.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (unknown @ Self::Unknown(_), _) | (_, unknown @ Self::Unknown(_)) => unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    /// One of them, or both.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (unknown @ Self::Unknown(_), _) | (_, unknown @ Self::Unknown(_)) => unknown,
            (Self::No, Self::No) => Self::No,
        }
    }

    /// The opposite.
    #[expect(clippy::should_implement_trait, reason = "`!truth` would read as if there were two values")]
    pub fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown @ Self::Unknown(_) => unknown,
        }
    }

    /// Whether all are; yes where there is none.
    pub fn all(truths: impl IntoIterator<Item = Self>) -> Self {
        truths.into_iter().fold(Self::Yes, Self::and)
    }

    /// Whether one is; no where there is none.
    pub fn any(truths: impl IntoIterator<Item = Self>) -> Self {
        truths.into_iter().fold(Self::No, Self::or)
    }

    /// Whether it is a sure yes.
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    /// Whether it is a sure no.
    pub fn is_no(&self) -> bool {
        matches!(self, Self::No)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(what) => write!(f, "{what} is not as the language of policies has it"),
            Self::Key(key) => write!(f, "it has a condition on {key}, whose value is not known before the call"),
            Self::Operator(operator) => write!(f, "it has a condition with {operator}, which is not evaluated"),
            Self::Variable(value) => write!(f, "it has the policy variable {value}, which is not evaluated"),
            Self::Principal(named) => write!(f, "it names {named}, which may or may not be the principal"),
            Self::Unread(what) => write!(f, "{what}"),
            Self::Pattern(pattern) => write!(f, "whether the pattern {pattern} matches is not certain"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_decides_nothing_and_outweighs_what_does_not_decide() {
        let unknown = || Truth::Unknown(Doubt::Key(EventText::new("aws:SourceIp")));
        let other = || Truth::Unknown(Doubt::Key(EventText::new("aws:SourceVpce")));
        let (yes, no) = (|| Truth::Yes, || Truth::No);
        for (left, right, and, or) in [
            (yes(), yes(), yes(), yes()),
            (yes(), no(), no(), yes()),
            (no(), no(), no(), no()),
            (yes(), unknown(), unknown(), yes()),
            (no(), unknown(), no(), unknown()),
            (unknown(), other(), unknown(), unknown()),
        ] {
            assert_eq!((left.clone().and(right.clone()), left.clone().or(right.clone())), (and.clone(), or.clone()));
            if (&left, &right) != (&unknown(), &other()) {
                assert_eq!((right.clone().and(left.clone()), right.or(left)), (and, or));
            }
        }
        assert_eq!((yes().not(), no().not(), unknown().not()), (no(), yes(), unknown()));
        assert_eq!((Truth::all([]), Truth::any([])), (yes(), no()));
    }
}
