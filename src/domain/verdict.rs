//! How a run ended: whether the stream is as its rule says, why, and what was not done.

/// AWS Config's compliance types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compliance {
    /// The stream is as its rule says, and every proof that was owed was made.
    Compliant,
    /// It is not.
    NonCompliant,
    /// No rule asks for anything, or there is no stream.
    NotApplicable,
    /// It could not be determined.
    InsufficientData,
}

impl Compliance {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Compliant, Self::NonCompliant, Self::NotApplicable, Self::InsufficientData];

    /// AWS Config's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "COMPLIANT",
            Self::NonCompliant => "NON_COMPLIANT",
            Self::NotApplicable => "NOT_APPLICABLE",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// Why a change that is right was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// `MODE` is `report`.
    ReportMode,
    /// The stream is older than `enforce_from` and its rule reports existing streams.
    Existing,
    /// It would go from a customer-managed key to an AWS-managed one.
    Downgrade,
    /// The stream's 25 new keys a day are used up.
    Quota,
    /// Somebody else changed it back again and again.
    Contested,
    /// The run is there to prove alone.
    ProveOnly,
    /// Its rule requires another key by now than the one that a person agreed to.
    PlanOutOfDate,
    /// Its rule has a guard, and what that needs cannot be read.
    GuardBlind,
    /// Another account uses the stream, and could not any more.
    WouldLockOut,
    /// The same change was made before, and taken back.
    Held,
    /// A change of another stream to the same key broke that one.
    Halted,
    /// Its rule has a guard, and other streams go first.
    WaitsItsTurn,
}

impl Withheld {
    /// The word in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReportMode => "report-mode",
            Self::Existing => "existing",
            Self::Downgrade => "downgrade",
            Self::Quota => "quota",
            Self::Contested => "contested",
            Self::ProveOnly => "prove-only",
            Self::PlanOutOfDate => "plan-out-of-date",
            Self::GuardBlind => "guard-blind",
            Self::WouldLockOut => "would-lock-out",
            Self::Held => "held",
            Self::Halted => "halted",
            Self::WaitsItsTurn => "waits-its-turn",
        }
    }
}

impl Withheld {
    /// All of them, for schemas.
    pub const ALL: [Self; 12] = [
        Self::ReportMode,
        Self::Existing,
        Self::Downgrade,
        Self::Quota,
        Self::Contested,
        Self::ProveOnly,
        Self::PlanOutOfDate,
        Self::GuardBlind,
        Self::WouldLockOut,
        Self::Held,
        Self::Halted,
        Self::WaitsItsTurn,
    ];
}

/// What Streamseal does about a stream, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Give it its first key.
    Encrypt,
    /// Give it another key.
    Rekey,
    /// Nothing yet: observe it again.
    Wait,
}

impl Action {
    /// All of them, for schemas.
    pub const ALL: [Self; 3] = [Self::Encrypt, Self::Rekey, Self::Wait];

    /// The word in evidence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Rekey => "re-key",
            Self::Wait => "wait",
        }
    }
}

/// What a run in the mode `enforce` would do about a stream that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Would {
    /// What is due.
    pub action: Action,
    /// Why even that run would not do it, as far as this one knows: CloudTrail's history and the guard are asked by a run that changes.
    pub withheld: Option<Withheld>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// AWS Config's word for it.
    pub compliance: Compliance,
    /// Why.
    pub reason: Reason,
    /// In words, for people.
    pub detail: String,
    /// The change that was not made, and why.
    pub withheld: Option<Withheld>,
    /// What a run in the mode `enforce` would do; `None` where nothing is due.
    pub would: Option<Would>,
    /// Whether somebody has to act.
    pub alarm: bool,
    /// When it is observed again without being asked.
    pub again: Again,
}

/// Whether and when a finished stream is observed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// By the next event or sweep.
    No,
    /// After 15 minutes, then after 1 hour, then by the next sweep.
    Twice,
    /// After 1 hour, then every 4 hours.
    ForQuota,
}

/// Why a run ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The stream is gone.
    StreamGone,
    /// A rule exempts it.
    Exempt,
    /// No rule matches.
    Unmatched,
    /// The rule's key cannot be named, or may not be looked up.
    KeyUnresolvable,
    /// KMS does not know the rule's key.
    KeyMissing,
    /// A key that the stream is on or should be on cannot be used.
    KeyUnusable,
    /// A key or a setting could not be checked.
    Unreadable,
    /// On the rule's key.
    RightKey,
    /// On an accepted key.
    AcceptedKey,
    /// Not encrypted, and its rule requires that it is.
    NotEncrypted,
    /// On another key than its rule requires.
    WrongKey,
    /// On a key of another account that nothing in its rule names.
    ForeignKey,
    /// Young: its creator may be about to set the key.
    Settling,
    /// Wrong again after our Start.
    Overtaken,
    /// Wrong, and somebody undid our Starts again and again.
    Contested,
    /// Start was refused.
    StartRefused,
    /// The setting is right and records are not encrypted.
    Unproven,
    /// The proof could not be made.
    ProofImpossible,
    /// A record was read back without an `EncryptionType`.
    ProofUnclear,
    /// Nobody wrote a record to observe.
    Idle,
    /// Our Start put the stream on a key that turned out unusable, and no key before it can be put back.
    Unwritable,
    /// Our re-key turned out unusable, and the key before it was put back.
    PutBack,
    /// We may not observe the stream.
    AccessDenied,
    /// The deadline passed.
    GaveUp,
    /// Not at its end: it goes on in a later run.
    Unfinished,
    /// On its key, and how its users fare since our change is watched.
    Watching,
    /// On its key, and users fail since our change.
    Broken,
    /// Users failed since our change, and it is on its previous key again.
    Restored,
    /// On its key, and how its users fare since our change could not be determined.
    Inconclusive,
    /// Wrong, and changes to its key are stopped, since one of them broke a stream.
    Halted,
}

impl Reason {
    /// Whether a later run goes on, so that this is no end.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Unfinished | Self::Settling)
    }

    /// The word in evidence and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StreamGone => "stream-gone",
            Self::Exempt => "exempt",
            Self::Unmatched => "unmatched",
            Self::KeyUnresolvable => "key-unresolvable",
            Self::KeyMissing => "key-missing",
            Self::KeyUnusable => "key-unusable",
            Self::Unreadable => "unreadable",
            Self::RightKey => "right-key",
            Self::AcceptedKey => "accepted-key",
            Self::NotEncrypted => "not-encrypted",
            Self::WrongKey => "wrong-key",
            Self::Settling => "settling",
            Self::ForeignKey => "foreign-key",
            Self::Overtaken => "overtaken",
            Self::Contested => "contested",
            Self::StartRefused => "start-refused",
            Self::Unproven => "unproven",
            Self::ProofImpossible => "proof-impossible",
            Self::ProofUnclear => "proof-unclear",
            Self::Idle => "idle",
            Self::Unwritable => "unwritable",
            Self::PutBack => "put-back",
            Self::AccessDenied => "access-denied",
            Self::GaveUp => "gave-up",
            Self::Unfinished => "unfinished",
            Self::Watching => "watching",
            Self::Broken => "broken",
            Self::Restored => "restored",
            Self::Inconclusive => "inconclusive",
            Self::Halted => "halted",
        }
    }
}

impl Verdict {
    /// A verdict that nobody is woken for and that stands until something changes.
    pub fn new(compliance: Compliance, reason: Reason, detail: impl Into<String>) -> Self {
        Self { compliance, reason, detail: detail.into(), withheld: None, would: None, alarm: false, again: Again::No }
    }

    /// The same, and somebody has to act.
    pub fn alarm(self) -> Self {
        Self { alarm: true, ..self }
    }

    /// The same, and this is due.
    pub fn would(self, action: Action, withheld: Option<Withheld>) -> Self {
        Self { would: Some(Would { action, withheld }), ..self }
    }

    /// The same, observed again.
    pub fn again(self, again: Again) -> Self {
        Self { again, ..self }
    }
}
