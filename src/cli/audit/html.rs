//! The audit as one HTML file that needs nothing else: the template with its rows, and with its data for the script.
//!
//! Whatever a stream, a tag or a message is called, it is data: it is escaped where it stands in the page, it goes to the script as JSON
//! in which nothing can end the element, the script writes it as text alone, and the policy in the head lets no script or style run but
//! its own. Without a script the page says the same, and cannot be filtered.

mod page;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use self::page::escaped;
use super::report::Audit;
use super::without;
use crate::domain::evidence::v1::Document;

const TEMPLATE: &str = include_str!("report.html");

pub(super) fn render(audit: &Audit) -> String {
    let (in_order, aliases) = (page::in_order(audit), page::aliases(audit));
    // As text, since the documents are to keep the order of their fields.
    let documents =
        in_order.iter().map(|evidence| serde_json::to_string(&Document::from(*evidence)).unwrap_or_default());
    let documents: Vec<String> = documents.collect();
    let (head, names) = (audit.head(), serde_json::to_string(&aliases).unwrap_or_default());
    let data = format!(r#"{{"audit":{head},"aliases":{names},"evidence":[{}]}}"#, documents.join(","));
    let title = format!("Kinesis encryption audit of account {}, {}", audit.account, audit.finished_at);
    let hash = |start, end| {
        let digest = Sha256::digest(between(TEMPLATE, start, end).as_bytes());
        format!("'sha256-{}'", BASE64_STANDARD.encode(digest))
    };
    let hidden = |is: bool| if is { "hidden" } else { "" }.to_owned();
    let places = [
        ("STYLE_HASH", hash("<style>", "</style>")),
        ("SCRIPT_HASH", hash("<script>", "</script>")),
        ("TITLE", escaped(&title)),
        ("FACTS", page::facts(audit)),
        ("NOTICES", page::notices(audit)),
        ("VERDICT", escaped(&page::verdict(audit))),
        ("BESIDE", escaped(&page::beside(audit))),
        ("NO_EXEMPTIONS", hidden(audit.exemptions.is_empty())),
        ("EXEMPTIONS", page::exemptions(audit)),
        ("BY_POLICY", hidden(without::is_of(audit))),
        ("WITHOUT_POLICY", hidden(!without::is_of(audit))),
        ("ROWS", page::rows(audit, &in_order, &aliases)),
        ("FOOT", page::foot(audit)),
        ("DATA", embedded(&data)),
    ];
    filled(TEMPLATE, &places)
}

/// The template with something in each of its places. What is put in is not read again, whatever it says.
fn filled(template: &str, places: &[(&str, String)]) -> String {
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        let value = places.iter().find(|(place, _)| *place == name).map_or("", |(_, value)| value.as_str());
        text.push_str(value);
        text.push_str(rest);
    }
    text
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
        assert!(data["evidence"][1]["annotation"].as_str().unwrap().contains("</script><img"), "kept as it is");
        assert_eq!(data["audit"]["totals"]["by_compliance"]["NON_COMPLIANT"], 2);
    }

    #[test]
    fn every_row_stands_in_the_page_in_the_order_of_the_evidence() {
        let page = render(&samples::audit());
        let rows = between(&page, r#"<tbody id="rows">"#, "</tbody>");
        let names: Vec<&str> = rows.split(r#"<span class="open"><span>"#).skip(1).collect();
        let names: Vec<&str> = names.iter().map(|rest| rest.split_once('<').unwrap().0).collect();
        assert_eq!(names, ["orders-new", "payments", "slow", "orders", "scratch-1"]);
        let data: serde_json::Value =
            serde_json::from_str(between(&page, r#"<script type="application/json" id="data">"#, "</script>")).unwrap();
        let of_data = data["evidence"].as_array().unwrap().iter().map(|document| document["stream"]["name"].as_str());
        assert!(of_data.eq(names.into_iter().map(Some)), "the script takes the rows by their places");
    }

    #[test]
    fn what_is_put_in_is_not_read_again() {
        let places = [("A", "{{B}}".to_owned()), ("B", "b".to_owned())];
        assert_eq!(filled("1{{A}}2{{B}}3", &places), "1{{B}}2b3");
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
