//! The audit as findings of Security Hub (AWS Security Finding Format), as `aws securityhub batch-import-findings --cli-input-json` takes
//! them: one batch a line, of one Region, since each has a Security Hub of its own, and of at most 100 (Security Hub API reference,
//! BatchImportFindings). Their fields follow those of the control Kinesis.1, but they are
//! this tool's findings and do not say that the control found them.

use serde_json::{Value, json};

use super::report::{Row, TOOL, one_line};
use super::severity::Severity;
use crate::domain::evidence::Evidence;
use crate::domain::remedy::advice::Remedy;
use crate::domain::verdict::Compliance;

/// The longest texts that ASFF takes: `Description`, and `Remediation.Recommendation.Text` (Security Hub user guide, ASFF syntax).
const DESCRIPTION_MAX: usize = 1024;
const REMEDIATION_MAX: usize = 512;

/// As many findings as one call of BatchImportFindings takes.
const BATCH: usize = 100;

/// Findings of one account and Region, as many as one call takes: a line.
#[derive(Debug, Default)]
pub(super) struct Batch {
    findings: Vec<Value>,
    of: Option<(String, String)>,
}

impl Batch {
    /// Takes a finding; the line of those before it, where it does not go with them.
    pub(super) fn push(&mut self, evidence: &Evidence) -> Option<String> {
        let scope = &evidence.stream.scope;
        let of = Some((scope.account.clone(), scope.region.clone()));
        let line = if self.of != of || self.findings.len() == BATCH { self.line() } else { None };
        self.of = of;
        self.findings.push(finding(evidence));
        line
    }

    /// The line of what is left; `None` where nothing is.
    pub(super) fn line(&mut self) -> Option<String> {
        let findings = std::mem::take(&mut self.findings);
        (!findings.is_empty()).then(|| format!("{}\n", json!({"Findings": findings})))
    }
}

/// The finding of one stream.
fn finding(evidence: &Evidence) -> Value {
    let row = Row::new(evidence);
    let scope = &evidence.stream.scope;
    let (status, workflow) = match evidence.verdict.compliance {
        Compliance::Compliant => ("PASSED", "RESOLVED"),
        Compliance::NonCompliant => ("FAILED", "NEW"),
        Compliance::InsufficientData => ("WARNING", "NEW"),
        Compliance::NotApplicable => ("NOT_AVAILABLE", "RESOLVED"),
    };
    let mut finding = json!({
        "SchemaVersion": "2018-10-08",
        "Id": format!("{}/streamseal/audit", row.arn),
        "ProductArn": format!(
            "arn:{}:securityhub:{}:{}:product/{}/default", scope.partition, scope.region, scope.account, scope.account
        ),
        "GeneratorId": "streamseal/audit",
        "AwsAccountId": scope.account,
        "Region": scope.region,
        "Types": ["Software and Configuration Checks/AWS Security Best Practices"],
        "CreatedAt": row.as_of,
        "LastObservedAt": row.as_of,
        "UpdatedAt": row.as_of,
        "Severity": {"Label": Severity::of(evidence).label(), "Original": row.compliance},
        "Title": "Kinesis data streams should be encrypted with the key that the policy names",
        "Description": cut(row.annotation, DESCRIPTION_MAX),
        "ProductFields": product_fields(&row, evidence),
        "Resources": [{
            "Type": "AwsKinesisStream",
            "Id": row.arn,
            "Partition": scope.partition,
            "Region": scope.region,
            "Details": {"AwsKinesisStream": details(&row, evidence)},
        }],
        "Compliance": {
            "Status": status,
            "RelatedRequirements": ["NIST.800-53.r5 SC-28"],
            "StatusReasons": [{"ReasonCode": reason_code(row.reason), "Description": cut(row.annotation, DESCRIPTION_MAX)}],
        },
        "Workflow": {"Status": workflow},
        "RecordState": "ACTIVE",
    });
    if let (Some(fields), Some(text)) = (finding.as_object_mut(), recommendation(&evidence.remedy)) {
        fields.insert("Remediation".to_owned(), json!({"Recommendation": {"Text": text}}));
    }
    finding
}

/// What Security Hub has no field for.
fn product_fields(row: &Row<'_>, evidence: &Evidence) -> Value {
    let (change, command) = (evidence.remedy.at_source(), one_line(&evidence.remedy));
    let exemption = row.exemption.as_ref();
    let until = exemption.and_then(|exemption| exemption.until).map(|until| until.to_string());
    let tags = (!row.tags.is_empty()).then(|| json!(row.tags).to_string());
    present(&[
        ("streamseal/at-source/terraform", change.map(|change| change.terraform.as_str())),
        ("streamseal/at-source/cloudformation", change.map(|change| change.cloudformation.as_str())),
        ("streamseal/remedy", evidence.remedy.about()),
        ("streamseal/remedy/command", command.as_deref()),
        ("streamseal/remedy/statement", evidence.remedy.statement()),
        ("streamseal/tool", Some(TOOL)),
        ("streamseal/reason", Some(row.reason)),
        ("streamseal/withheld", row.withheld),
        ("streamseal/would", row.would.as_ref().map(|would| would.action)),
        ("streamseal/would/withheld", row.would.as_ref().and_then(|would| would.withheld)),
        ("streamseal/exemption/reason", exemption.map(|exemption| exemption.reason)),
        ("streamseal/exemption/owner", exemption.and_then(|exemption| exemption.owner)),
        ("streamseal/exemption/until", until.as_deref()),
        ("streamseal/key/alias", row.key_alias),
        ("streamseal/key/manager", row.key_manager),
        ("streamseal/key/state", row.key_state),
        ("streamseal/key/rotation", row.key_rotation.as_deref()),
        ("streamseal/key/origin", row.key_origin),
        ("streamseal/tags", tags.as_deref()),
        ("streamseal/rule", row.rule),
        ("streamseal/policy", Some(&evidence.policy_digest)),
    ])
}

fn details(row: &Row<'_>, evidence: &Evidence) -> Value {
    let mut details = json!({"Name": row.stream, "Arn": row.arn});
    if let (Some(fields), Some(setting)) = (details.as_object_mut(), &evidence.before) {
        fields.insert("RetentionPeriodHours".to_owned(), json!(setting.observed.retention_hours));
        let encryption = [("EncryptionType", row.encryption_type), ("KeyId", row.key_arn.or(row.key_id))];
        fields.insert("StreamEncryption".to_owned(), present(&encryption));
    }
    details
}

/// As much of a remedy as fits: a command is left out rather than cut, and the call of a change at the source says it all.
fn recommendation(remedy: &Remedy) -> Option<String> {
    let text = remedy.text()?;
    let command = one_line(remedy);
    if let (Some(_), Some(command)) = (remedy.at_source(), &command) {
        return Some(if fits(command) { command.clone() } else { text.to_owned() });
    }
    let first = remedy.commands().first().map(ToString::to_string);
    let pasted = [command, first, remedy.statement().map(str::to_owned)];
    let whole = pasted.into_iter().flatten().map(|pasted| format!("{text}: {pasted}")).find(|whole| fits(whole));
    Some(whole.unwrap_or_else(|| cut(text, REMEDIATION_MAX)))
}

fn fits(text: &str) -> bool {
    text.chars().count() <= REMEDIATION_MAX
}

/// Only what there is to say: ASFF takes no empty text.
fn present(fields: &[(&str, Option<&str>)]) -> Value {
    let said = fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!((*value)?))));
    Value::Object(said.collect())
}

/// Upper case with underscores, as Security Hub's own reason codes are.
fn reason_code(reason: &str) -> String {
    reason.replace('-', "_").to_uppercase()
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::domain::remedy::advice::Advice;

    /// A command that is cut cannot be pasted.
    #[test]
    fn a_command_that_does_not_fit_is_left_out() {
        let long =
            |text: &str| Remedy::Key(Advice { text: text.into(), commands: vec!["c".repeat(510)], statement: None });
        assert_eq!(recommendation(&long("enable it")).as_deref(), Some("enable it"));
        let text = recommendation(&long(&"t".repeat(600))).unwrap();
        assert_eq!(text.chars().count(), REMEDIATION_MAX);
        assert_eq!(recommendation(&Remedy::None), None);
    }

    #[test]
    fn a_batch_has_one_region_and_no_more_than_one_call_takes() {
        let mut audit = samples::incomplete();
        let one = audit.regions[0].streams[0].clone();
        audit.regions[0].streams = vec![one.clone(); 201];
        audit.regions[1].streams = vec![one; 2];
        audit.regions[1].streams.iter_mut().for_each(|evidence| evidence.stream.scope.region = "eu-west-2".into());
        let mut batch = Batch::default();
        let mut lines: Vec<String> = audit.streams().filter_map(|evidence| batch.push(evidence)).collect();
        lines.extend(batch.line());
        let text = lines.concat();
        let batches: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let sizes: Vec<(usize, &Value)> = batches
            .iter()
            .map(|batch| (batch["Findings"].as_array().unwrap().len(), &batch["Findings"][0]["Region"]))
            .collect();
        let [here, there] = [json!("eu-west-1"), json!("eu-west-2")];
        assert_eq!(sizes, [(100, &here), (100, &here), (1, &here), (2, &there)]);
    }

    #[test]
    fn every_stream_is_a_finding_of_ours_with_the_fields_that_are_required() {
        let audit = samples::audit();
        let findings: Vec<Value> = audit.streams().map(finding).collect();
        assert_eq!(findings.len(), 5);
        let required = [
            "AwsAccountId",
            "CreatedAt",
            "Description",
            "GeneratorId",
            "Id",
            "ProductArn",
            "Resources",
            "SchemaVersion",
            "Severity",
            "Title",
            "UpdatedAt",
        ];
        for finding in &findings {
            assert!(required.iter().all(|field| !finding[field].is_null()), "{finding}");
            assert!(!finding.to_string().contains("Kinesis.1"), "the function would take it for Security Hub's own");
        }
        assert!(!Value::Array(findings.clone()).to_string().contains(r#":"""#), "an empty text is refused");
        let statuses: Vec<&str> = findings.iter().map(|f| f["Compliance"]["Status"].as_str().unwrap()).collect();
        assert_eq!(statuses, ["PASSED", "FAILED", "FAILED", "NOT_AVAILABLE", "WARNING"]);
        let change = findings[1]["Remediation"]["Recommendation"]["Text"].as_str().unwrap();
        assert!(change.starts_with("aws kinesis start-stream-encryption --stream-arn "), "{change}");
        assert!(findings[0]["Remediation"].is_null());
        assert_eq!(findings[2]["Remediation"]["Recommendation"]["Text"], "tag it: one # or: two");
        assert_eq!(findings[2]["ProductFields"]["streamseal/remedy"], "rule");
        assert!(findings[2]["ProductFields"]["streamseal/at-source/terraform"].is_null());
        assert_eq!(findings[2]["Compliance"]["StatusReasons"][0]["ReasonCode"], "KEY_UNRESOLVABLE");
    }
}
