//! The audit as Compliance Findings of the Open Cybersecurity Schema Framework (OCSF 1.3.0, class 2003), one a line, as Amazon
//! Security Lake and other stores of events take them.

use serde_json::{Value, json};

use super::report::{Row, TOOL};
use super::severity::Severity;
use crate::domain::evidence::Evidence;
use crate::domain::verdict::Compliance;

const CLASS: u32 = 2003;
/// Create: each audit reports anew.
const ACTIVITY: u32 = 1;

/// The line of one stream.
pub(super) fn line(evidence: &Evidence) -> String {
    format!("{}\n", finding(evidence))
}

fn finding(evidence: &Evidence) -> Value {
    let row = Row::new(evidence);
    let scope = &evidence.stream.scope;
    // The ids of OCSF's objects `compliance` and `finding`: Pass, Warning, Fail; New, Resolved.
    let ((status_id, status), workflow) = match evidence.verdict.compliance {
        Compliance::Compliant => ((1, "Pass"), (4, "Resolved")),
        Compliance::NonCompliant => ((3, "Fail"), (1, "New")),
        Compliance::InsufficientData => ((2, "Warning"), (1, "New")),
        Compliance::NotApplicable => ((99, "Not applicable"), (4, "Resolved")),
    };
    let severity = Severity::of(evidence);
    let mut finding = json!({
        "activity_id": ACTIVITY, "activity_name": "Create",
        "category_uid": 2, "category_name": "Findings",
        "class_uid": CLASS, "class_name": "Compliance Finding",
        "type_uid": CLASS * 100 + ACTIVITY, "type_name": "Compliance Finding: Create",
        "time": row.as_of.0.as_millisecond(),
        "severity_id": severity.ocsf(), "severity": severity.word(),
        "status_id": workflow.0, "status": workflow.1,
        "message": row.annotation,
        "metadata": {
            "version": "1.3.0", "profiles": ["cloud"],
            "product": {"name": "Streamseal", "vendor_name": "Streamseal", "version": TOOL.trim_start_matches("streamseal/")},
        },
        "cloud": {"provider": "AWS", "region": scope.region, "account": {"uid": scope.account}},
        "finding_info": {
            "uid": format!("{}/streamseal/audit", row.arn),
            "title": "Kinesis data streams should be encrypted with the key that the policy names",
            "desc": row.annotation,
            "types": ["Compliance"],
            "created_time": row.as_of.0.as_millisecond(),
        },
        "compliance": {
            "control": row.rule, "standards": ["NIST SP 800-53"], "requirements": ["SC-28"],
            "status_id": status_id, "status": status, "status_code": row.reason, "status_detail": row.annotation,
        },
        "resources": [{
            "uid": row.arn, "name": row.stream, "type": "AWS::Kinesis::Stream", "region": scope.region,
            "cloud_partition": scope.partition,
            "data": {
                "encryption_type": row.encryption_type, "key": row.key_arn.or(row.key_id), "desired_key": row.desired_key,
                "key_alias": row.key_alias, "key_manager": row.key_manager, "key_state": row.key_state,
                "key_rotation": row.key_rotation, "key_origin": row.key_origin, "tags": row.tags,
            },
        }],
        "unmapped": {
            "withheld": row.withheld, "would": row.would, "alarm": row.alarm, "remedy": evidence.remedy.about(),
            "exemption": row.exemption,
        },
    });
    if let (Some(fields), Some(text)) = (finding.as_object_mut(), evidence.remedy.text()) {
        fields.insert("remediation".to_owned(), json!({"desc": text}));
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn every_line_is_a_compliance_finding_with_what_the_class_requires() {
        let text: String = samples::audit().streams().map(line).collect();
        let findings: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(findings.len(), 5);
        // Required by the class, its base event, and the profile `cloud`.
        let required = [
            "/activity_id",
            "/category_uid",
            "/class_uid",
            "/compliance/standards",
            "/finding_info/title",
            "/finding_info/uid",
        ];
        let required = required.into_iter().chain([
            "/metadata/product/vendor_name",
            "/metadata/version",
            "/severity_id",
            "/time",
            "/type_uid",
            "/cloud/provider",
        ]);
        for path in required {
            assert!(findings.iter().all(|finding| finding.pointer(path).is_some_and(|v| !v.is_null())), "{path}");
        }
        let of = |finding: &Value| {
            [&finding["type_uid"], &finding["compliance"]["status_id"], &finding["severity_id"]]
                .map(|v| v.as_u64().unwrap())
        };
        assert_eq!(
            findings.iter().map(of).collect::<Vec<_>>(),
            [[200_301, 1, 1], [200_301, 3, 4], [200_301, 3, 4], [200_301, 99, 1], [200_301, 2, 2],]
        );
        assert_eq!(findings[0]["time"], 1_795_521_600_000_i64);
        let key = &findings[0]["resources"][0]["data"];
        let known = ["key_alias", "key_manager", "key_state", "key_rotation", "key_origin"]
            .map(|field| key[field].as_str().unwrap());
        assert_eq!(known, ["alias/orders", "customer-managed", "Enabled", "off", "EXTERNAL"]);
        assert_eq!(findings[1]["resources"][0]["data"]["tags"], json!({"team": "blue"}));
        assert_eq!(findings[1]["unmapped"]["would"], json!({"action": "encrypt", "withheld": null}));
        let exemption = json!({"reason": "synthetic data", "owner": "data-platform", "until": "2026-12-01"});
        assert_eq!(findings[3]["unmapped"]["exemption"], exemption);
    }
}
