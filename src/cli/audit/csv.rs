//! The audit as comma-separated values (RFC 4180), one record a stream, for spreadsheets and their like.

use super::report::{Row, one_line};
use crate::domain::evidence::Evidence;

/// The first line, with the names of the fields.
pub(super) const HEAD: &str = "account,region,stream,arn,compliance,reason,withheld,would,would_withheld,rule,status,encryption_type,key_id,key_arn,\
desired_key,desired_key_arn,created_at,as_of,annotation,at_source_terraform,at_source_cloudformation,\
at_source_cli,remedy_about,remedy,remedy_command,remedy_statement,exempt_reason,exempt_owner,exempt_until,\
key_alias,key_manager,key_state,key_rotation,key_origin,tags\r\n";

/// The line of one stream.
pub(super) fn line(evidence: &Evidence) -> String {
    let row = Row::new(evidence);
    let (status, created) = (row.status.as_deref(), row.created_at.map(|at| at.to_string()));
    let as_of = row.as_of.to_string();
    let remedy = &evidence.remedy;
    let (change, command) = (remedy.at_source(), one_line(remedy));
    let exemption = row.exemption.as_ref();
    let until = exemption.and_then(|exemption| exemption.until).map(|until| until.to_string());
    let tags: Vec<String> = row.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let tags = tags.join("; ");
    let fields = [
        Some(row.account),
        Some(row.region),
        Some(row.stream),
        Some(&row.arn),
        Some(row.compliance),
        Some(row.reason),
        row.withheld,
        row.would.as_ref().map(|would| would.action),
        row.would.as_ref().and_then(|would| would.withheld),
        row.rule,
        status,
        row.encryption_type,
        row.key_id,
        row.key_arn,
        row.desired_key,
        row.desired_key_arn,
        created.as_deref(),
        Some(as_of.as_str()),
        Some(row.annotation),
        // Two lines: HCL has no other mark between two arguments.
        change.map(|change| change.terraform.as_str()),
        change.map(|change| change.cloudformation.as_str()),
        change.and_then(|change| change.cli.as_deref()),
        remedy.about(),
        remedy.text(),
        command.as_deref(),
        remedy.statement(),
        exemption.map(|exemption| exemption.reason),
        exemption.and_then(|exemption| exemption.owner),
        until.as_deref(),
        row.key_alias,
        row.key_manager,
        row.key_state,
        row.key_rotation.as_deref(),
        row.key_origin,
        Some(tags.as_str()),
    ];
    let fields: Vec<String> = fields.iter().map(|field| quoted(field.unwrap_or_default())).collect();
    fields.join(",") + "\r\n"
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
        let audit = samples::audit();
        let text: String = [HEAD.to_owned()].into_iter().chain(audit.streams().map(line)).collect();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines.len(), audit.streams().count() + 2, "head, streams, and the end of the last line");
        assert!(lines[0].starts_with("account,region,stream,arn,"));
        let fields = |line: &str| line.split(',').count();
        assert_eq!(fields(lines[0]), fields(lines[4]), "each field has a name: {}", lines[4]);
        assert!(lines.iter().any(
            |line| line.starts_with("111122223333,eu-west-1,orders,arn:aws:kinesis:") && line.contains("COMPLIANT")
        ));
        let of = |stream: &str| lines.iter().find(|line| line.contains(&format!(",{stream},"))).unwrap().to_string();
        assert!(of("orders-new").contains(",aws kinesis start-stream-encryption --stream-arn …,source,"));
        assert!(of("payments").ends_with(",,,,rule,tag it,one # or: two,,,,,,,,,,"), "an alternative is a comment");
        assert!(
            of("orders").ends_with(",,,,,,,,,,alias/orders,customer-managed,Enabled,off,EXTERNAL,"),
            "a stream that is fine has no remedy: {}",
            of("orders")
        );
        assert!(of("orders-new").contains(",NON_COMPLIANT,not-encrypted,report-mode,encrypt,,orders,"));
        assert!(of("orders-new").ends_with(",team=blue"));
        assert!(of("scratch-1").ends_with(",synthetic data,data-platform,2026-12-01,,,,,,"));
        assert!(text.contains("\"no tag `team`, </script><img src=x onerror=\"\"alert(1)\"\">\""), "{text}");
    }
}
