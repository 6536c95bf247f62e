//! The JSON Schemas (draft 2020-12) of what is written and of what goes through the queues, made from the very types that are
//! serialised, as they stand in `schemas/`. The policy's is in `cli/policy/document.rs`.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::note::NoteDocument;
use super::{evidence, impact, scan, work};

/// How a version may change; it stands in each document's schema.
const GROWTH: &str = "This version only grows: fields may be added, and words where a list of them is given; none is renamed, moved, \
                      removed or given another meaning. Whoever reads ignores what it does not know.";
/// What goes through the queues is read by the function alone, and as strictly as it says.
const STRICT: &str = "Between two invocations of the function, for nobody else to send. Unknown fields are refused: a message of a later \
                      version is better in the dead-letter queue than half understood.";

const CUT: &str =
    "In an event alone, and only in one that was too large: the lists that are empty in it and not in the log's line.";

/// What has a schema here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `streamseal.evidence/v1`.
    Evidence,
    /// `streamseal.summary/v1`.
    Summary,
    /// `streamseal.note/v1`.
    Note,
    /// `streamseal.impact/v1`.
    Impact,
    /// `streamseal.work/v1`.
    Work,
    /// `streamseal.scan/v1`.
    Scan,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Evidence, Self::Summary, Self::Note, Self::Impact, Self::Work, Self::Scan];

    /// The file's name in `schemas/`.
    pub fn file(self) -> &'static str {
        match self {
            Self::Evidence => "evidence.schema.json",
            Self::Summary => "summary.schema.json",
            Self::Note => "note.schema.json",
            Self::Impact => "impact.schema.json",
            Self::Work => "work.schema.json",
            Self::Scan => "scan.schema.json",
        }
    }

    /// The schema's text.
    pub fn schema(self) -> String {
        let mut schema = match self {
            Self::Evidence => of::<evidence::v1::Document<'_>>(),
            Self::Summary => of::<scan::v1::Document<'_>>(),
            Self::Note => of::<NoteDocument<'_>>(),
            Self::Impact => of::<impact::v1::Document<'_>>(),
            Self::Work => of::<work::Work>(),
            Self::Scan => of::<scan::Scan>(),
        };
        let growth = match self {
            Self::Evidence | Self::Summary | Self::Note | Self::Impact => GROWTH,
            Self::Work | Self::Scan => STRICT,
        };
        if let Some(Value::String(description)) = schema.get_mut("description") {
            *description = format!("{description}\n\n{growth}");
        }
        if let Some(Value::Object(properties)) = schema.get_mut("properties")
            && matches!(self, Self::Evidence | Self::Summary)
        {
            let cut = json!({ "type": "array", "items": { "type": "string" }, "description": CUT });
            properties.insert("truncated".to_owned(), cut);
        }
        format!("{schema:#}\n")
    }
}

/// As it is written: a field that is always there is required.
fn of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}
