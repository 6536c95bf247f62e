//! Rows that wait in a file that nobody sees, so that memory does not grow with them.

use std::fs::File;
use std::io::{BufReader, BufWriter, Result, Seek, Write};
use std::path::Path;

use super::file::without_name;

#[derive(Debug)]
pub(super) struct Rows {
    file: BufWriter<File>,
    pub(super) count: u64,
}

impl Rows {
    /// For what is to be in `path`; `None` is standard output.
    pub(super) fn new(path: Option<&Path>) -> Result<Self> {
        Ok(Self { file: BufWriter::new(without_name(path)?), count: 0 })
    }

    pub(super) fn push(&mut self, row: &str) -> Result<()> {
        self.count += 1;
        self.file.write_all(row.as_bytes())
    }

    /// From the first one on.
    pub(super) fn read(&mut self) -> Result<BufReader<&File>> {
        self.file.flush()?;
        self.file.get_mut().rewind()?;
        Ok(BufReader::new(self.file.get_ref()))
    }
}
