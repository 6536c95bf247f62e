//! A fault shown where it stands: the line of the policy, a caret under the word, what to do. It only draws.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::cli::policy::PolicyWarning;
use crate::domain::policy::PolicyFault;

/// A text with its name.
pub(super) struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text }
    }

    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// A fault of the text.
    pub(super) fn fault(&self, fault: &PolicyFault) -> String {
        let span = word(self.text, fault.line, fault.column);
        self.drawn(Level::ERROR, &fault.message, span, &fault.path, fault.help.as_deref())
    }

    /// Something that is worth a check.
    pub(super) fn warning(&self, warning: &PolicyWarning) -> String {
        let span = word(self.text, warning.line, warning.column);
        self.drawn(Level::WARNING, &warning.message, span, &warning.path, None)
    }

    fn drawn(&self, level: Level<'_>, message: &str, span: Range<usize>, path: &str, help: Option<&str>) -> String {
        let annotation = AnnotationKind::Primary.span(span);
        let annotation = if path.is_empty() { annotation } else { annotation.label(path) };
        let snippet = Snippet::source(self.text).path(self.name).annotation(annotation);
        let mut group: Group<'_> = level.primary_title(message).element(snippet);
        if let Some(help) = help {
            group = group.element(Level::HELP.message(help));
        }
        let report = [group];
        // Colours are taken out again where none are wanted, when it is printed.
        format!("{}\n", Renderer::styled().decor_style(DecorStyle::Ascii).render(&report))
    }
}

/// The bytes of the word that starts at this line and column, which count from 1; columns in characters.
fn word(text: &str, line: usize, column: usize) -> Range<usize> {
    let mut start = 0;
    let mut lines = text.split_inclusive('\n');
    let mut here = "";
    for _ in 0..line.max(1) {
        start += here.len();
        here = lines.next().unwrap_or_default();
    }
    let skipped: usize = here.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    let rest = here.get(skipped..).unwrap_or_default();
    let length = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            rest.char_indices().skip(1).find(|(_, c)| *c == quote).map_or(1, |(index, _)| index + 1)
        }
        _ => rest.find(|c: char| c.is_whitespace() || ",]}:#".contains(c)).unwrap_or(rest.len()),
    };
    let start = start + skipped;
    // Something has to be marked, also at the end of a line.
    let end = (start + length.max(rest.chars().next().map_or(0, char::len_utf8))).min(text.len());
    start.min(text.len())..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_at_a_place() {
        let text = "a: b\n  \u{fc}x: 'y z', [k, {l: m}]\n\n\"q\n";
        for (line, column, expect) in [
            (1, 1, "a"),
            (1, 4, "b"),
            (2, 3, "\u{fc}x"),
            (2, 7, "'y z'"),
            (2, 15, "k"),
            (2, 18, "{l"),
            (4, 1, "\""),
            (3, 1, "\n"),
            (9, 9, ""),
            (1, 99, ""),
        ] {
            assert_eq!(text.get(word(text, line, column)), Some(expect), "{line}:{column}");
        }
    }
}
