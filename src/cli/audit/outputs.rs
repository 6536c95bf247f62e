//! Where the results go and in which form. Rows are written as they come, into files that nobody sees, so that memory does not grow with the
//! streams; what is asked for is written from those at the end, whole or not at all.

use std::io::{BufWriter, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;

use super::asff;
use super::csv;
use super::file::write_whole;
use super::html;
use super::markdown;
use super::ocsf;
use super::report::{Audit, row_with_remedy};
use super::rows::Rows;
use super::table::{self, Shown};
use crate::domain::evidence::Evidence;
use crate::domain::evidence::v1::Document;

/// The form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Text for people, what is wrong first
    Table,
    /// One document, streamseal.audit/v1
    Json,
    /// One line a stream, for spreadsheets
    Csv,
    /// A report for people, one file for a browser
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

    /// What stands in front of the rows, and behind them.
    fn around(self, audit: &Audit) -> (String, String) {
        match self {
            Self::Csv => (csv::HEAD.to_owned(), String::new()),
            Self::Json => {
                let head = format!("{:#}", audit.head());
                let head = head.strip_suffix("\n}").unwrap_or(&head);
                (format!("{head},\n  \"streams\": ["), "\n  ]\n}\n".to_owned())
            }
            Self::Table | Self::Markdown | Self::Html | Self::Evidence | Self::Asff | Self::Ocsf => Default::default(),
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
            // They are made of more than one stream.
            Self::Table | Self::Markdown | Self::Asff | Self::Html => String::new(),
            Self::Csv => csv::line(evidence),
            Self::Evidence => serde_json::to_string(&Document::from(evidence)).unwrap_or_default() + "\n",
            Self::Ocsf => ocsf::line(evidence),
            Self::Json => item(row_with_remedy(evidence), "    "),
        }
    }
}

/// What waits for the end of the audit.
#[derive(Debug)]
enum Waiting {
    /// What is written at the end is made of what the audit keeps.
    Nothing,
    Rows(Rows),
    /// Findings in rows, and those that wait for others of their Region.
    Batches(Rows, asff::Batch),
    Page(html::Report),
}

/// One result that was asked for.
#[derive(Debug)]
struct Output {
    /// Standard output, where there is none.
    path: Option<PathBuf>,
    format: Format,
    waiting: Waiting,
}

impl Output {
    fn new(path: Option<&Path>, format: Format) -> Result<Self> {
        let waiting = match format {
            Format::Table | Format::Markdown => Waiting::Nothing,
            Format::Html => Waiting::Page(html::Report::new(path)?),
            Format::Asff => Waiting::Batches(Rows::new(path)?, asff::Batch::default()),
            Format::Json | Format::Csv | Format::Evidence | Format::Ocsf => Waiting::Rows(Rows::new(path)?),
        };
        Ok(Self { path: path.map(Path::to_path_buf), format, waiting })
    }

    fn push(&mut self, evidence: &Evidence) -> Result<()> {
        match &mut self.waiting {
            Waiting::Nothing => Ok(()),
            Waiting::Rows(rows) => rows.push(&self.format.row(evidence, rows.count == 0)),
            Waiting::Batches(rows, batch) => batch.push(evidence).map_or(Ok(()), |full| rows.push(&full)),
            Waiting::Page(report) => report.push(evidence),
        }
    }

    fn write(&mut self, audit: &Audit, shown: Shown, out: &mut dyn Write) -> Result<()> {
        match &mut self.waiting {
            Waiting::Nothing if self.format == Format::Markdown => out.write_all(markdown::render(audit).as_bytes()),
            Waiting::Nothing => out.write_all(table::render(audit, shown).as_bytes()),
            Waiting::Rows(rows) => {
                let (before, after) = self.format.around(audit);
                out.write_all(before.as_bytes())?;
                std::io::copy(&mut rows.read()?, out)?;
                out.write_all(after.as_bytes())
            }
            Waiting::Batches(rows, batch) => {
                std::io::copy(&mut rows.read()?, out)?;
                out.write_all(batch.line().unwrap_or_default().as_bytes())
            }
            Waiting::Page(report) => report.write(audit, out),
        }
    }
}

/// All results that were asked for.
#[derive(Debug)]
pub(super) struct Outputs(Vec<Output>);

impl Outputs {
    /// `None` for a path is standard output.
    pub(super) fn new(asked: Vec<(Option<&Path>, Format)>) -> std::result::Result<Self, (PathBuf, std::io::Error)> {
        let name = |path: Option<&Path>| path.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let output = |(path, format)| Output::new(path, format).map_err(|error| (name(path), error));
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
}
