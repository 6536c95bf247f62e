//! The audit as one HTML file that needs nothing else: the template with its data.
//!
//! Whatever a stream, a tag or a message is called, it is data: it goes into the page as JSON in which nothing can end the
//! script element, the page writes it as text alone, and the policy in its head lets no script or style run but its own.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::report::Audit;
use crate::domain::evidence::v1::Document;

const TEMPLATE: &str = include_str!("report.html");

pub(super) fn render(audit: &Audit) -> String {
    // As text, since the documents are to keep the order of their fields.
    let documents = audit.rows().map(|evidence| serde_json::to_string(&Document::from(evidence)).unwrap_or_default());
    let data = format!(r#"{{"audit":{},"evidence":[{}]}}"#, audit.head(), documents.collect::<Vec<_>>().join(","));
    let title = format!("Kinesis encryption audit of account {}, {}", audit.account, audit.finished_at);
    let sources = [
        ("{{STYLE_HASH}}", between(TEMPLATE, "<style>", "</style>")),
        ("{{SCRIPT_HASH}}", between(TEMPLATE, "<script>", "</script>")),
    ];
    let mut page = TEMPLATE.to_owned();
    for (place, source) in sources {
        page = page.replace(place, &format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(source.as_bytes()))));
    }
    // The data comes last, so that nothing in it is taken for a place of the template.
    page.replacen("{{TITLE}}", &escaped(&title), 1).replacen("{{DATA}}", &embedded(&data), 1)
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn nothing_that_a_tag_says_leaves_the_data() {
        let page = render(&samples::audit());
        assert!(!page.contains("<img") && !page.contains("{{"), "no mark-up and no open place");
        assert_eq!(page.matches("</script>").count(), TEMPLATE.matches("</script>").count());
        let data = between(&page, r#"<script type="application/json" id="data">"#, "</script>");
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["evidence"].as_array().unwrap().len(), 5);
        assert!(data["evidence"][2]["annotation"].as_str().unwrap().contains("</script><img"), "kept as it is");
        assert_eq!(data["audit"]["totals"]["by_compliance"]["NON_COMPLIANT"], 2);
    }

    #[test]
    fn it_asks_for_nothing_outside() {
        let page = render(&samples::audit());
        let outside = ["http://", "https://", "src=", "url(", "@import", "style=\"", " onclick"];
        let reported = page.replace("http://www.w3.org/2000/svg", "");
        let found: Vec<&str> = outside.into_iter().filter(|word| reported.contains(word)).collect();
        // The hostile sample has a `src=` in its data.
        assert_eq!(found, ["src="]);
        assert!(page.contains("default-src 'none'") && page.contains("script-src 'sha256-"));
    }
}
