//! The audit as comma-separated values (RFC 4180), one line a stream, for spreadsheets and their like.

use super::report::{Audit, Row, one_line};

const HEAD: &str = "region,stream,arn,compliance,reason,withheld,rule,status,encryption_type,key_id,key_arn,desired_key,\
desired_key_arn,created_at,observed_at,annotation,at_source_terraform,at_source_cloudformation,\
at_source_cli,remedy_about,remedy,remedy_command,remedy_statement\r\n";

pub(super) fn render(audit: &Audit) -> String {
    let mut text = HEAD.to_owned();
    for evidence in audit.rows() {
        let row = Row::new(evidence);
        let (status, created) = (row.status.as_deref(), row.created_at.map(|at| at.to_string()));
        let observed_at = row.observed_at.to_string();
        let remedy = &evidence.remedy;
        let (change, command) = (remedy.at_source(), one_line(remedy));
        // One line a stream: many tools read no others.
        let terraform = change.map(|change| change.terraform.replace('\n', "; "));
        let fields = [
            Some(row.region),
            Some(row.stream),
            Some(&row.arn),
            Some(row.compliance),
            Some(row.reason),
            row.withheld,
            row.rule,
            status,
            row.encryption_type,
            row.key_id,
            row.key_arn,
            row.desired_key,
            row.desired_key_arn,
            created.as_deref(),
            Some(observed_at.as_str()),
            Some(row.annotation),
            terraform.as_deref(),
            change.map(|change| change.cloudformation.as_str()),
            change.and_then(|change| change.cli.as_deref()),
            remedy.about(),
            remedy.text(),
            command.as_deref(),
            remedy.statement(),
        ];
        let fields: Vec<String> = fields.iter().map(|field| quoted(field.unwrap_or_default())).collect();
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Quoted where it must be. A spreadsheet takes what begins like a formula for one (OWASP, CSV injection).
fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let field = if formula { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn fields_are_quoted_and_no_formula() {
        assert_eq!(quoted("a b"), "a b");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(quoted("two\nlines"), "\"two\nlines\"");
    }

    #[test]
    fn one_line_a_stream() {
        let text = render(&samples::audit());
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines.len(), samples::audit().streams().count() + 2, "head, streams, and the end of the last line");
        assert!(lines[0].starts_with("region,stream,arn,"));
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("eu-west-1,orders,arn:aws:kinesis:") && line.contains("COMPLIANT"))
        );
        let of = |stream: &str| lines.iter().find(|line| line.contains(&format!(",{stream},"))).unwrap().to_string();
        assert!(of("orders-new").contains(",aws kinesis start-stream-encryption --stream-arn …,source,"));
        assert!(of("payments").ends_with(",,,,rule,tag it,one # or: two,"), "an alternative is a comment");
        assert!(of("orders").ends_with(",,,,,,,"), "a stream that is fine has no remedy");
        assert!(text.contains("\"no tag `team`, </script><img src=x onerror=\"\"alert(1)\"\">\""), "{text}");
    }
}
