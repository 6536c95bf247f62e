//! The audit as one HTML file that needs nothing else: the template with its rows, and with its data for the script.
//!
//! Whatever a stream, a tag or a message is called, it is data: it is escaped where it stands in the page, it goes to the script as JSON
//! in which nothing can end the element, the script writes it as text alone, and the policy in the head lets no script or style run but
//! its own. Without a script the page says the same, and cannot be filtered.
//!
//! Rows come in any order and wait in files, one for each place in the page: the most severe are first.

mod page;

use std::io::{BufRead, Result, Write};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::page::escaped;
use super::report::Audit;
use super::rows::Rows;
use super::severity::Severity;
use super::without;
use crate::domain::evidence::Evidence;
use crate::domain::evidence::v1::Document;
use crate::domain::verdict::Compliance;

const TEMPLATE: &str = include_str!("report.html");
/// So many streams are in a report for a browser, and more only where more are wrong: those are all in it.
const MAX: u64 = 10_000;
/// What is in each place, the first on top.
const PLACES: [Compliance; 6] = [
    Compliance::NonCompliant,
    Compliance::NonCompliant,
    Compliance::NonCompliant,
    Compliance::InsufficientData,
    Compliance::Compliant,
    Compliance::NotApplicable,
];

/// The place of a stream.
fn place(evidence: &Evidence) -> usize {
    match Severity::of(evidence) {
        Severity::Critical => 0,
        Severity::High => 1,
        Severity::Medium => 2,
        Severity::Low => 3,
        Severity::Informational if evidence.verdict.compliance == Compliance::Compliant => 4,
        Severity::Informational => 5,
    }
}

/// The rows of a report. Each is a line: what stands in the page, a tab, and the document.
#[derive(Debug)]
pub(super) struct Report {
    places: Vec<Rows>,
    /// How many streams there were for each place, also those that there was no room for.
    pushed: [u64; PLACES.len()],
}

/// Which part of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Page,
    Document,
}

impl Report {
    pub(super) fn new(path: Option<&Path>) -> Result<Self> {
        let places = PLACES.iter().map(|_| Rows::new(path)).collect::<Result<_>>()?;
        Ok(Self { places, pushed: [0; PLACES.len()] })
    }

    pub(super) fn push(&mut self, evidence: &Evidence) -> Result<()> {
        let place = place(evidence);
        self.pushed.iter_mut().skip(place).take(1).for_each(|count| *count += 1);
        let most = if evidence.verdict.compliance == Compliance::NonCompliant { u64::MAX } else { MAX };
        let Some(rows) = self.places.get_mut(place).filter(|rows| rows.count < most) else { return Ok(()) };
        // As text, since it is to keep the order of its fields.
        let document = embedded(&serde_json::to_string(&Document::from(evidence)).unwrap_or_default());
        rows.push(&format!("{}\t{document}\n", page::row(evidence)))
    }

    pub(super) fn write(&mut self, audit: &Audit, out: &mut dyn Write) -> Result<()> {
        let taken = self.taken();
        let left_out = PLACES.iter().zip(self.pushed).zip(taken);
        let left_out = left_out.map(|((compliance, pushed), taken)| (*compliance, pushed.saturating_sub(taken)));
        let left_out: Vec<_> = left_out.filter(|(_, count)| *count > 0).collect();
        let values = values(audit, &left_out);
        let mut parts = TEMPLATE.split("{{");
        out.write_all(parts.next().unwrap_or_default().as_bytes())?;
        for part in parts {
            let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
            match name {
                "ROWS" => self.copy(taken, Part::Page, out)?,
                "DOCUMENTS" => self.copy(taken, Part::Document, out)?,
                _ => {
                    let value = values.iter().find(|(place, _)| *place == name);
                    out.write_all(value.map_or("", |(_, value)| value.as_str()).as_bytes())?;
                }
            }
            out.write_all(rest.as_bytes())?;
        }
        Ok(())
    }

    /// How many rows of each place are in the page.
    fn taken(&self) -> [u64; PLACES.len()] {
        let (mut left, mut taken) = (MAX, [0; PLACES.len()]);
        for ((taken, rows), compliance) in taken.iter_mut().zip(&self.places).zip(PLACES) {
            *taken = if compliance == Compliance::NonCompliant { rows.count } else { rows.count.min(left) };
            left = left.saturating_sub(*taken);
        }
        taken
    }

    fn copy(&mut self, taken: [u64; PLACES.len()], part: Part, out: &mut dyn Write) -> Result<()> {
        let mut is_first = true;
        for (rows, taken) in self.places.iter_mut().zip(taken) {
            for line in rows.read()?.lines().take(usize::try_from(taken).unwrap_or(usize::MAX)) {
                let line = line?;
                let (row, document) = line.split_once('\t').unwrap_or_default();
                let (text, between) = if part == Part::Page { (row, "\n") } else { (document, ",") };
                out.write_all(if is_first { b"" } else { between.as_bytes() })?;
                out.write_all(text.as_bytes())?;
                is_first = false;
            }
        }
        Ok(())
    }
}

/// What stands in each place of the template, but for the rows.
fn values(audit: &Audit, left_out: &[(Compliance, u64)]) -> Vec<(&'static str, String)> {
    let counts = left_out.iter().map(|(compliance, count)| (compliance.as_str().to_owned(), json!(count)));
    let counts = Value::Object(counts.collect());
    let hash = |start, end| {
        let digest = Sha256::digest(between(TEMPLATE, start, end).as_bytes());
        format!("'sha256-{}'", BASE64_STANDARD.encode(digest))
    };
    let hidden = |is: bool| if is { "hidden" } else { "" }.to_owned();
    let title = format!("Kinesis encryption audit of {}, {}", audit.whose(), audit.finished_at);
    vec![
        ("STYLE_HASH", hash("<style>", "</style>")),
        ("SCRIPT_HASH", hash("<script>", "</script>")),
        ("TITLE", escaped(&title)),
        ("FACTS", page::facts(audit)),
        ("NOTICES", page::notices(audit, left_out)),
        ("VERDICT", escaped(&page::verdict(audit))),
        ("BESIDE", escaped(&page::beside(audit))),
        ("COLUMNS", page::columns(audit)),
        ("NO_EXEMPTIONS", hidden(audit.exemptions.is_empty())),
        ("EXEMPTIONS", page::exemptions(audit)),
        ("BY_POLICY", hidden(without::is_of(audit))),
        ("WITHOUT_POLICY", hidden(!without::is_of(audit))),
        ("HOW", page::how(audit).to_owned()),
        ("FOOT", page::foot(audit)),
        ("DATA", embedded(&format!(r#"{{"audit":{},"left_out":{counts},"evidence":["#, audit.head()))),
    ]
}

/// JSON that may stand in a script element: only strings have these characters, and there an escape means the same.
fn embedded(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => text.push(other),
        }
    }
    text
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::super::report::count;
    use super::super::samples;
    use super::*;

    fn render(audit: &Audit) -> String {
        let (mut report, mut page) = (Report::new(None).unwrap(), Vec::new());
        audit.streams().for_each(|evidence| report.push(evidence).unwrap());
        report.write(audit, &mut page).unwrap();
        String::from_utf8(page).unwrap()
    }

    fn data(page: &str) -> Value {
        serde_json::from_str(between(page, r#"<script type="application/json" id="data">"#, "</script>")).unwrap()
    }

    #[test]
    fn nothing_that_a_tag_says_leaves_the_data() {
        let page = render(&samples::audit());
        assert!(!page.contains("<img") && !page.contains("{{"), "no mark-up and no open place");
        assert_eq!(page.matches("</script>").count(), TEMPLATE.matches("</script>").count());
        let data = data(&page);
        assert_eq!(data["evidence"].as_array().unwrap().len(), 5);
        assert!(data["evidence"][1]["annotation"].as_str().unwrap().contains("</script><img"), "kept as it is");
        assert_eq!(data["audit"]["totals"]["by_compliance"]["NON_COMPLIANT"], 2);
    }

    #[test]
    fn a_row_is_one_line_and_no_place_whatever_it_says() {
        let mut audit = samples::audit();
        audit.regions[0].streams[1].verdict.detail = "two\nlines,\ta tab and {{DATA}}".into();
        let page = render(&audit);
        assert!(page.contains("two lines, a tab and {{DATA}}</td>"));
        assert_eq!(data(&page)["evidence"][0]["annotation"], "two\nlines,\ta tab and {{DATA}}");
    }

    #[test]
    fn every_row_stands_in_the_page_the_most_severe_first() {
        let page = render(&samples::audit());
        let rows = between(&page, r#"<tbody id="rows" class="first">"#, "</tbody>");
        let names: Vec<&str> = rows.split(r#"<span class="open"><span>"#).skip(1).collect();
        let names: Vec<&str> = names.iter().map(|rest| rest.split_once('<').unwrap().0).collect();
        assert_eq!(names, ["orders-new", "payments", "slow", "orders", "scratch-1"]);
        let data = data(&page);
        let of_data = data["evidence"].as_array().unwrap().iter().map(|document| document["stream"]["name"].as_str());
        assert!(of_data.eq(names.into_iter().map(Some)), "the script takes the rows by their places");
    }

    #[test]
    fn every_stream_that_is_wrong_is_in_it_and_the_others_while_there_is_room() {
        let (mut audit, mut report) = (samples::audit(), Report::new(None).unwrap());
        let one = |compliance: Compliance| {
            let mut streams = samples::audit().regions.remove(0).streams.into_iter();
            streams.find(|evidence| evidence.verdict.compliance == compliance).unwrap()
        };
        audit.regions[0].streams.clear();
        use Compliance::{Compliant, InsufficientData, NonCompliant, NotApplicable};
        // The last are counted and not listed.
        for (compliance, many, is_listed) in [
            (Compliant, 10_020, true),
            (NonCompliant, 10, true),
            (InsufficientData, 5, true),
            (NotApplicable, 7, false),
        ] {
            let evidence = one(compliance);
            for _ in 0..many {
                count(&mut audit.written, &evidence);
                if is_listed {
                    report.push(&evidence).unwrap();
                }
            }
        }
        let mut page = Vec::new();
        report.write(&audit, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let data = data(&page);
        let count = |word: &str| {
            data["evidence"].as_array().unwrap().iter().filter(|document| document["compliance"] == word).count()
        };
        let counts = ["NON_COMPLIANT", "INSUFFICIENT_DATA", "COMPLIANT"].map(count);
        assert_eq!((counts, &data["left_out"]), ([10, 5, 9_985], &json!({"COMPLIANT": 35})));
        assert_eq!(page.matches(r#"<tr><th scope="row""#).count(), 10_000);
        assert_eq!(data["audit"]["totals"]["streams"], 10_042);
        assert!(page.contains("The list below leaves out 35 streams, so that this page opens quickly: 35 compliant."));
    }

    #[test]
    fn it_asks_for_nothing_outside() {
        let page = render(&samples::audit());
        let outside = ["http://", "https://", "src=", "url(", "@import", "style=\"", " onclick"];
        // A link to AWS's console is followed by whoever clicks on it alone.
        let reported = page.replace("http://www.w3.org/2000/svg", "").replace("\"https://\" + region", "");
        let found: Vec<&str> = outside.into_iter().filter(|word| reported.contains(word)).collect();
        // The hostile sample has a `src=` in its data.
        assert_eq!(found, ["src="]);
        assert!(page.contains("default-src 'none'") && page.contains("script-src 'sha256-"));
    }
}
