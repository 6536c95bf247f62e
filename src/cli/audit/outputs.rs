//! Where the results go and in which form. Rows are written as they come, into files that nobody sees, so that memory does not grow with the
//! streams; what is asked for is written from those at the end, whole or not at all.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Result, Seek, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::asff;
use super::csv;
use super::file::{without_name, write_whole};
use super::html;
use super::markdown;
use super::ocsf;
use super::report::{Audit, ORDER, row_with_remedy};
use super::table::{self, Shown};
use crate::domain::evidence::Evidence;
use crate::domain::evidence::v1::Document;
use crate::domain::verdict::Compliance;

/// So many streams are in a report for a browser, and more only where more are wrong: those are all in it.
const HTML_MAX: u64 = 10_000;

/// The form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Text for people, what is wrong first
    Table,
    /// One document, streamseal.audit/v1
    Json,
    /// One line a stream, for spreadsheets
    Csv,
    /// A report for people that needs nothing but a browser
    Html,
    /// One document a line and stream, streamseal.evidence/v1
    Evidence,
    /// Findings for Security Hub (ASFF), one batch of at most 100 a line, by Region
    Asff,
    /// Compliance Findings of OCSF, one a line
    Ocsf,
    /// A summary for a pull request or a pipeline
    Markdown,
}

impl Format {
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Table),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "html" | "htm" => Some(Self::Html),
            "jsonl" | "ndjson" => Some(Self::Evidence),
            "md" => Some(Self::Markdown),
            _ => None,
        }
    }

    /// What stands in front of the rows, between two of them, and behind them. `None`: it is not made of rows.
    fn around(self, audit: &Audit) -> Option<(String, String)> {
        let of = |before: &str, after: &str| Some((before.to_owned(), after.to_owned()));
        match self {
            Self::Table | Self::Markdown | Self::Html => None,
            Self::Csv => of(csv::HEAD, ""),
            Self::Evidence | Self::Asff | Self::Ocsf => of("", ""),
            Self::Json => {
                let head = format!("{:#}", audit.head());
                let head = head.strip_suffix("\n}").unwrap_or(&head);
                of(&format!("{head},\n  \"streams\": ["), "\n  ]\n}\n")
            }
        }
    }

    /// One row; `first` where none is before it.
    fn row(self, evidence: &Evidence, first: bool) -> String {
        // In a list, so many spaces from the left.
        let item = |value: Value, indent: &str| {
            let lines = format!("{value:#}").replace('\n', &format!("\n{indent}"));
            format!("{}\n{indent}{lines}", if first { "" } else { "," })
        };
        match self {
            // Batches are put together as they come.
            Self::Table | Self::Markdown | Self::Asff => String::new(),
            Self::Csv => csv::line(evidence),
            Self::Evidence => serde_json::to_string(&Document::from(evidence)).unwrap_or_default() + "\n",
            Self::Html => html::document(evidence) + "\n",
            Self::Ocsf => ocsf::line(evidence),
            Self::Json => item(row_with_remedy(evidence), "    "),
        }
    }
}

/// Rows in a file that nobody sees.
#[derive(Debug)]
struct Rows {
    file: BufWriter<File>,
    count: u64,
}

impl Rows {
    fn new(path: Option<&Path>) -> Result<Self> {
        Ok(Self { file: BufWriter::new(without_name(path)?), count: 0 })
    }

    fn push(&mut self, row: &str) -> Result<()> {
        self.count += 1;
        self.file.write_all(row.as_bytes())
    }

    /// From the first one on.
    fn read(&mut self) -> Result<BufReader<&File>> {
        self.file.flush()?;
        self.file.get_mut().rewind()?;
        Ok(BufReader::new(self.file.get_ref()))
    }
}

/// One result that was asked for.
#[derive(Debug)]
struct Output {
    /// Standard output, where there is none.
    path: Option<PathBuf>,
    format: Format,
    /// One file for all rows, or one for each compliance in the order of [`ORDER`].
    rows: Vec<Rows>,
    /// Findings that wait for others of their Region.
    batch: asff::Batch,
}

impl Output {
    fn push(&mut self, evidence: &Evidence) -> Result<()> {
        let compliance = evidence.verdict.compliance;
        let (place, most) = match self.format {
            Format::Html if compliance == Compliance::NonCompliant => (0, u64::MAX),
            Format::Html => (ORDER.iter().position(|one| *one == compliance).unwrap_or_default(), HTML_MAX),
            _ => (0, u64::MAX),
        };
        let Some(rows) = self.rows.get_mut(place).filter(|rows| rows.count < most) else { return Ok(()) };
        let row = match self.format {
            Format::Asff => self.batch.push(evidence).unwrap_or_default(),
            format => format.row(evidence, rows.count == 0),
        };
        rows.push(&row)
    }

    fn write(&mut self, audit: &Audit, shown: Shown, out: &mut dyn Write) -> Result<()> {
        match (self.format, self.format.around(audit)) {
            (Format::Html, _) => self.write_html(audit, out),
            (_, Some((before, after))) => {
                out.write_all(before.as_bytes())?;
                for rows in &mut self.rows {
                    std::io::copy(&mut rows.read()?, out)?;
                }
                out.write_all(self.batch.line().unwrap_or_default().as_bytes())?;
                out.write_all(after.as_bytes())
            }
            (Format::Markdown, None) => out.write_all(markdown::render(audit).as_bytes()),
            (_, None) => out.write_all(table::render(audit, shown).as_bytes()),
        }
    }

    /// The worst first, and no more of the others than there is room for.
    fn write_html(&mut self, audit: &Audit, out: &mut dyn Write) -> Result<()> {
        let (totals, mut left, mut left_out) = (audit.totals(), HTML_MAX, Vec::new());
        let mut taken = Vec::new();
        for (compliance, rows) in ORDER.iter().zip(&self.rows) {
            let take = if *compliance == Compliance::NonCompliant { rows.count } else { rows.count.min(left) };
            left = left.saturating_sub(take);
            taken.push(take);
            let missing = totals.all.of(*compliance).saturating_sub(take);
            if missing > 0 {
                left_out.push((compliance.as_str().to_owned(), json!(missing)));
            }
        }
        let (before, after) = html::around(audit, &Value::Object(left_out.into_iter().collect()));
        out.write_all(before.as_bytes())?;
        let mut first = true;
        for (rows, take) in self.rows.iter_mut().zip(taken) {
            for line in rows.read()?.lines().take(usize::try_from(take).unwrap_or(usize::MAX)) {
                out.write_all(if first { b"" } else { b"," })?;
                out.write_all(line?.as_bytes())?;
                first = false;
            }
        }
        out.write_all(after.as_bytes())
    }
}

/// All results that were asked for.
#[derive(Debug)]
pub(super) struct Outputs(Vec<Output>);

impl Outputs {
    /// `None` for a path is standard output.
    pub(super) fn new(asked: Vec<(Option<&Path>, Format)>) -> std::result::Result<Self, (PathBuf, std::io::Error)> {
        let output = |(path, format): (Option<&Path>, Format)| {
            let files = match format {
                Format::Table | Format::Markdown => 0,
                Format::Html => ORDER.len(),
                _ => 1,
            };
            let rows = (0..files).map(|_| Rows::new(path)).collect::<Result<_>>();
            let name = || path.map_or_else(std::env::temp_dir, Path::to_path_buf);
            Ok(Output {
                path: path.map(Path::to_path_buf),
                format,
                rows: rows.map_err(|error| (name(), error))?,
                batch: asff::Batch::default(),
            })
        };
        asked.into_iter().map(output).collect::<std::result::Result<_, _>>().map(Self)
    }

    /// Whether standard output has a result.
    pub(super) fn is_printed(&self) -> bool {
        self.0.iter().any(|output| output.path.is_none())
    }

    /// Takes one stream.
    pub(super) fn push(&mut self, evidence: &Evidence) -> Result<()> {
        self.0.iter_mut().try_for_each(|output| output.push(evidence))
    }

    /// Writes them all. `printed`: how a table is shown on standard output. An error comes with the file that it is about.
    pub(super) fn write(
        &mut self,
        audit: &Audit,
        printed: Shown,
    ) -> std::result::Result<(), (Option<PathBuf>, std::io::Error)> {
        for output in &mut self.0 {
            let written = match output.path.clone() {
                Some(path) => {
                    let shown = Shown { fix: printed.fix, ..Shown::default() };
                    write_whole(&path, |out| output.write(audit, shown, out))
                }
                None => {
                    let mut out = BufWriter::new(std::io::stdout().lock());
                    let written = output.write(audit, printed, &mut out).and_then(|()| out.flush());
                    // Whoever reads may stop reading.
                    written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
                }
            };
            written.map_err(|error| (output.path.clone(), error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::count;
    use super::super::samples;
    use super::*;

    /// What is written for this audit in one form.
    fn written(format: Format) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let audit = samples::audit();
        let mut outputs = Outputs::new(vec![(Some(&path), format)]).unwrap();
        audit.streams().for_each(|evidence| outputs.push(evidence).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is there before the end");
        outputs.write(&audit, Shown::default()).unwrap();
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn the_ending_says_the_form() {
        assert_eq!(Format::of(Path::new("a/b.html")), Some(Format::Html));
        assert_eq!(Format::of(Path::new("b.jsonl")), Some(Format::Evidence));
        assert_eq!(Format::of(Path::new("b.pdf")), None);
        assert_eq!(Format::of(Path::new("html")), None);
    }

    #[test]
    fn what_is_written_row_by_row_is_whole() {
        let json: Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!(json["streams"].as_array().map(Vec::len), Some(5));
        let mut head = json.clone();
        head.as_object_mut().unwrap().remove("streams");
        assert_eq!(head, samples::audit().head());
        // As if it had been written at once.
        let lines = |text: &str| text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect::<Vec<_>>();
        let (mut by_rows, mut at_once) = (lines(&written(Format::Json)), lines(&format!("{json:#}\n")));
        by_rows.sort_unstable();
        at_once.sort_unstable();
        assert_eq!(by_rows, at_once);
        let asff = written(Format::Asff);
        let batch: Value = serde_json::from_str(&asff).unwrap();
        assert_eq!((asff.lines().count(), batch["Findings"].as_array().map(Vec::len)), (1, Some(5)));
        assert_eq!(written(Format::Ocsf).lines().count(), 5);
        assert!(written(Format::Markdown).starts_with("## Kinesis encryption: "));
        let evidence = written(Format::Evidence);
        assert!(evidence.lines().all(|line| line.starts_with(r#"{"schema":"streamseal.evidence/v1","#)));
        assert_eq!((evidence.lines().count(), written(Format::Csv).lines().count()), (5, 6));
    }

    #[test]
    fn every_stream_that_is_wrong_is_in_the_html_and_the_others_while_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        let (mut audit, mut outputs) = (samples::audit(), Outputs::new(vec![(Some(&path), Format::Html)]).unwrap());
        let one = |compliance: Compliance| {
            let mut streams = samples::audit().regions.remove(0).streams.into_iter();
            streams.find(|evidence| evidence.verdict.compliance == compliance).unwrap()
        };
        audit.regions[0].streams.clear();
        use Compliance::{Compliant, InsufficientData, NonCompliant};
        for (compliance, many) in [(Compliant, 9_998), (NonCompliant, 10), (InsufficientData, 5)] {
            let evidence = one(compliance);
            for _ in 0..many {
                outputs.push(&evidence).unwrap();
                count(&mut audit.written, &evidence);
            }
        }
        outputs.write(&audit, Shown::default()).unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        let (_, data) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
        let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
        let count = |word: &str| {
            data["evidence"].as_array().unwrap().iter().filter(|document| document["compliance"] == word).count()
        };
        let counts = ["NON_COMPLIANT", "INSUFFICIENT_DATA", "COMPLIANT"].map(count);
        assert_eq!((counts, &data["left_out"]), ([10, 5, 9_985], &json!({"COMPLIANT": 13})));
        assert_eq!(data["audit"]["totals"]["streams"], 10_013);
    }
}
