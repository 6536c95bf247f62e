//! IAM's policy simulator over the emulator's IAM, which ignores conditions in its own: it evaluates the inline policy `p` of a role with
//! an evaluator that is not ours (`tools/emulators/iam.cjs`). Everything else goes on to the emulator.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::impact_wire::{members, simulation, url_decoded, value};
use crate::iam::ask;
use crate::support::form;

const IAM: (&str, &str) = ("us-east-1/iam", "2010-05-08");
const STREAM_KEY: &str = "kms:EncryptionContext:aws:kinesis:arn";

/// It listens on loopback for as long as this lives.
pub(super) struct Simulator {
    _runtime: tokio::runtime::Runtime,
    server: MockServer,
}

impl Simulator {
    /// Over the emulator at `aws`.
    pub(super) fn start(aws: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let aws = aws.to_owned();
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(OverEmulator { aws }).mount(&server).await;
            server
        });
        Self { _runtime: runtime, server }
    }

    pub(super) fn url(&self) -> String {
        self.server.uri()
    }
}

struct OverEmulator {
    aws: String,
}

impl Respond for OverEmulator {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let asked = url_decoded(&String::from_utf8_lossy(&request.body));
        if value(&asked, "Action") != "SimulatePrincipalPolicy" {
            let rest: Vec<(&str, &str)> =
                asked.iter().filter(|(name, _)| name != "Version").map(|(name, value)| (&**name, &**value)).collect();
            return ResponseTemplate::new(200).set_body_raw(form(&self.aws, IAM.0, IAM.1, &rest), "text/xml");
        }
        let who = value(&asked, "PolicySourceArn");
        let policy = self.policy(who.rsplit('/').next().unwrap());
        let mut requests = Vec::new();
        for call in members(&asked, "ActionNames") {
            for resource in members(&asked, "ResourceArns") {
                requests.push((call.to_owned(), resource.to_owned()));
            }
        }
        let cases = requests
            .iter()
            .map(|(call, resource)| json!({"action": call, "resource": resource, "context": context(&asked, call)}));
        let question =
            json!({"role": who, "cases": [{"policy": policy, "requests": cases.collect::<Vec<_>>()}], "actions": []});
        let allowed: Vec<bool> = serde_json::from_value(ask(&question)["allowed"][0].take()).unwrap();
        let of: BTreeMap<(String, String), bool> = requests.into_iter().zip(allowed).collect();
        let is_lacking = policy.to_string().contains(STREAM_KEY) && asked.iter().all(|(_, value)| value != STREAM_KEY);
        simulation(&asked, |call, resource| {
            let is_allowed = of[&(call.to_owned(), resource.to_owned())];
            let missing = if is_lacking && call.starts_with("kms:") { vec![STREAM_KEY.to_owned()] } else { Vec::new() };
            (if is_allowed { "allowed" } else { "implicitDeny" }, missing)
        })
    }
}

impl OverEmulator {
    /// The policy that the role has now.
    fn policy(&self, role: &str) -> Value {
        let asked = [("Action", "GetRolePolicy"), ("RoleName", role), ("PolicyName", "p")];
        let text = form(&self.aws, IAM.0, IAM.1, &asked);
        let (_, rest) = text.split_once("<PolicyDocument>").unwrap();
        let (document, _) = rest.split_once("</PolicyDocument>").unwrap();
        let decoded = url_decoded(&format!("p={document}"));
        serde_json::from_str(&decoded[0].1).unwrap()
    }
}

/// What was said of the call, as far as the evaluator knows that such a call has it.
fn context(asked: &[(String, String)], call: &str) -> BTreeMap<String, String> {
    let of_kms = ["kms:ViaService", STREAM_KEY];
    let names = asked.iter().filter_map(|(name, value)| Some((name.strip_suffix(".ContextKeyName")?, value)));
    let known = names.filter(|(_, key)| call.starts_with("kms:") && of_kms.contains(&key.as_str()));
    known
        .map(|(entry, key)| (key.clone(), value(asked, &format!("{entry}.ContextKeyValues.member.1")).to_owned()))
        .collect()
}
