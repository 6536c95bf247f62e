//! `streamseal audit --role` in several accounts of an emulator that checks signatures, identity policies and trust policies. The user and
//! the roles may do what `--print-iam` prints, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::{MockServer, Request, ResponseTemplate};

use crate::audit::{POLICY, command, ran, stub};
use crate::organization::{access_key, account_of_role, error, operation, refused};
use crate::support::{ACCOUNT, REGION, Tool, aws_cli_as_given, file};

const OTHER: &str = "444455556666";
/// Its role trusts whoever has another external id.
const DISTRUSTS: &str = "777788889999";
/// It has no such role.
const WITHOUT: &str = "999900001111";

/// The emulator of all services but kinesis-local, which has one account.
pub(crate) struct Cloud {
    tool: Tool,
    pub(crate) folder: tempfile::TempDir,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        Self { tool: Tool::start("parts", &["--aws", "--auth"], &[]), folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn url(&self) -> &str {
        self.tool.ready["aws"].as_str().unwrap()
    }

    /// Commands of the AWS CLI as the root user of accounts: an access key id that is an account's number is that user's.
    pub(crate) fn run(&self, commands: &[(&str, String)]) -> Vec<Value> {
        let url = self.url();
        let command = |(account, command): &(&str, String)| {
            let arguments: Vec<&str> = command.split(' ').chain(["--endpoint-url", url, "--output", "json"]).collect();
            let variables = json!({
                "AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1",
            });
            json!({"arguments": arguments, "variables": variables})
        };
        let commands: Vec<Value> = commands.iter().map(command).collect();
        let answers = aws_cli_as_given(&json!(commands), self.folder.path());
        let value = |answer: Result<String, String>| match answer.unwrap().as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap(),
        };
        answers.into_iter().map(value).collect()
    }

    /// A policy as an argument.
    pub(crate) fn document(&self, name: &str, policy: &Value) -> String {
        format!("file://{}", file(&self.folder, name, &policy.to_string()).display())
    }

    /// An audit of all accounts with these credentials, asked for with this external id.
    fn audit(&self, policy: &Path, (id, secret): (&str, &str), external_id: &str) -> Command {
        let mut command = command(policy, &["--region", REGION, "--rate", "1000"]);
        let all = [ACCOUNT, DISTRUSTS, OTHER, WITHOUT].join(",");
        command.args(["--accounts", &all, "--role", "security/audit", "--external-id", external_id]);
        command.env_remove("ACCOUNT_ID").env("AWS_ENDPOINT_URL", self.url());
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        command
    }
}

#[test]
fn accounts_are_audited_with_the_printed_policies_and_nothing_else() {
    let cloud = Cloud::start();
    let policy = file(&cloud.folder, "policy.yaml", POLICY);
    let (_, printed, _) = ran(cloud.audit(&policy, ("test", "test"), "e-1").arg("--print-iam"));
    let mut printed: Value = serde_json::from_str(&printed).unwrap();
    // The emulator's tagging API knows no streams: where the role may not ask it, each stream is asked for its tags.
    let actions = printed["role"]["Statement"][0]["Action"].as_array_mut().unwrap();
    actions.retain(|action| action != "tag:GetResources");
    let caller = cloud.document("caller.json", &printed["caller"]);
    let role = cloud.document("role.json", &printed["role"]);
    let trusts = cloud.document("trusts.json", &printed["role_trusts"]);
    let mut others = printed["role_trusts"].clone();
    others["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"] = json!("e-2");
    let trusts_others = cloud.document("others.json", &others);

    let role_in = |account, trusts: &str| {
        let made =
            format!("iam create-role --path /security/ --role-name audit --assume-role-policy-document {trusts}");
        let allowed = format!("iam put-role-policy --role-name audit --policy-name p --policy-document {role}");
        [(account, made), (account, allowed)]
    };
    let stream = |account, name: &str| (account, format!("kinesis create-stream --stream-name {name} --shard-count 1"));
    let tagged = "kinesis add-tags-to-stream --stream-name tagged --tags team=blue".to_owned();
    let mut commands = vec![
        (ACCOUNT, "iam create-user --user-name auditor".to_owned()),
        (ACCOUNT, format!("iam put-user-policy --user-name auditor --policy-name p --policy-document {caller}")),
        (ACCOUNT, "iam create-access-key --user-name auditor".to_owned()),
        (OTHER, "kms create-key".to_owned()),
        stream(ACCOUNT, "scratch-own"),
        stream(OTHER, "orders-1"),
        stream(OTHER, "orders-2"),
        stream(OTHER, "tagged"),
        (OTHER, tagged),
        stream(DISTRUSTS, "scratch-hidden"),
        stream(WITHOUT, "scratch-hidden"),
    ];
    commands.extend(role_in(OTHER, &trusts));
    commands.extend(role_in(DISTRUSTS, &trusts_others));
    let answers = cloud.run(&commands);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let access = &answers[2]["AccessKey"];
    let (id, secret) = (text(&access["AccessKeyId"]), text(&access["SecretAccessKey"]));
    let key = &answers[3]["KeyMetadata"];
    let (key_id, key_arn) = (text(&key["KeyId"]), text(&key["Arn"]));
    cloud.run(&[
        (OTHER, format!("kms create-alias --alias-name alias/orders --target-key-id {key_id}")),
        (
            OTHER,
            format!("kinesis start-stream-encryption --stream-name orders-1 --encryption-type KMS --key-id {key_id}"),
        ),
    ]);

    let (code, out, err) = ran(cloud.audit(&policy, (&id, &secret), "e-1").arg("--json"));
    assert_eq!(code, 1, "two accounts are missing: {err}");
    for (account, why) in [(DISTRUSTS, "user/auditor is not authorized"), (WITHOUT, "is not authorized")] {
        let of_it: Vec<&str> = err.lines().filter(|line| line.contains(&format!("account {account}: "))).collect();
        assert!(of_it.len() == 1 && of_it[0].contains("sts:AssumeRole failed (AccessDenied)"), "{account}: {err}");
        assert!(of_it[0].contains(why), "{account}: {err}");
    }
    let found: Value = serde_json::from_str(&out).unwrap();
    let rows: BTreeMap<String, [&str; 2]> = found["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["arn"]), ["compliance", "reason"].map(|field| row[field].as_str().unwrap())))
        .collect();
    let arn = |account, name| format!("arn:aws:kinesis:{REGION}:{account}:stream/{name}");
    let expected = BTreeMap::from([
        (arn(ACCOUNT, "scratch-own"), ["NOT_APPLICABLE", "exempt"]),
        (arn(OTHER, "orders-1"), ["COMPLIANT", "right-key"]),
        (arn(OTHER, "orders-2"), ["NON_COMPLIANT", "not-encrypted"]),
        // The tag names a key that the account has not.
        (arn(OTHER, "tagged"), ["NON_COMPLIANT", "key-missing"]),
    ]);
    assert_eq!(rows, expected);
    let is_sealed = |row: &&Value| row["stream"] == "orders-1";
    let sealed = found["streams"].as_array().unwrap().iter().find(is_sealed).unwrap();
    assert!(sealed.to_string().contains(&key_arn), "{sealed}");
    assert_eq!(found["complete"], false);
    // The audit is the user's; in another account the role observed the streams.
    let user = format!("arn:aws:iam::{ACCOUNT}:user/auditor");
    assert_eq!(found["actor"], json!(user));
    let (_, out, _) = ran(cloud.audit(&policy, (&id, &secret), "e-1").args(["--format", "evidence"]));
    assert_eq!(out.lines().count(), expected.len(), "{out}");
    for document in out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let is_other = document["stream"]["account"] == OTHER;
        let actor = if is_other { format!("arn:aws:iam::{OTHER}:role/security/audit") } else { user.clone() };
        assert_eq!(document["run"]["actor"], json!(actor), "{document}");
    }

    // Whoever does not know the external id is let in nowhere but at home, and where that is the right one.
    let (code, out, _) = ran(cloud.audit(&policy, (&id, &secret), "e-2").arg("--json"));
    let found: Value = serde_json::from_str(&out).unwrap();
    let accounts: Vec<&str> =
        found["regions"].as_array().unwrap().iter().map(|region| region["account"].as_str().unwrap()).collect();
    assert_eq!((code, accounts), (1, vec![ACCOUNT, DISTRUSTS]));
}

/// Its role is not for us, and STS throttles whoever asks for that of the other one.
const DENIES: &str = DISTRUSTS;
const THROTTLES: &str = "666677778888";
/// An account of so many streams that its credentials are used up before the last.
const LARGE: (&str, usize) = ("555566667777", 20);
/// So many streams are described with the credentials of one role, and no more: then they have expired. They say that they do after six
/// seconds. Five to ten seconds before that the SDK has others fetched, and in one second no more are described at the rate of the test.
const GOOD_FOR: usize = 14;

/// moto, which keeps any number of accounts apart, and before it what moto lacks: credentials that expire, roles that may not be assumed, and
/// an STS that throttles.
struct Moto {
    tool: Tool,
    layer: MockServer,
    /// The accounts whose role was assumed.
    assumed: Arc<Mutex<Vec<String>>>,
}

impl Moto {
    fn start() -> Self {
        let tool = Tool::start("parts", &["--moto"], &[]);
        let url = tool.ready["moto"].as_str().unwrap().to_owned();
        let assumed: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, used) = (Arc::clone(&assumed), Mutex::new(HashMap::<String, usize>::new()));
        let layer = stub(move |request| {
            let key = access_key(request);
            match operation(request).as_str() {
                "AssumeRole" => match account_of_role(request).as_str() {
                    DENIES => return refused("AccessDenied", "not authorized"),
                    THROTTLES => return refused("Throttling", "Rate exceeded"),
                    account => log.lock().unwrap().push(account.to_owned()),
                },
                "DescribeStreamSummary" if key != "test" => {
                    let mut used = used.lock().unwrap();
                    let count = used.entry(key.clone()).or_default();
                    *count += 1;
                    if *count > GOOD_FOR {
                        return error("ExpiredTokenException");
                    }
                }
                _ => {}
            }
            forwarded(&url, request, (key == "test").then_some(ACCOUNT))
        });
        Self { tool, layer, assumed }
    }

    /// One call in an account.
    fn call(&self, account: &str, target: &str, body: &Value) -> Value {
        let service = if target.starts_with("Trent") { "kms" } else { "kinesis" };
        let scope = format!("Credential=test/20260101/{REGION}/{service}/aws4_request");
        let request = ureq::post(self.tool.ready["moto"].as_str().unwrap())
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00"))
            .header("x-amz-target", target)
            .header("x-moto-account-id", account)
            .header("content-type", "application/x-amz-json-1.1");
        let text = request.send(body.to_string()).unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn stream(&self, account: &str, name: &str) {
        self.call(account, "Kinesis_20131202.CreateStream", &json!({"StreamName": name, "ShardCount": 1}));
    }
}

/// moto's answer, of the large account with credentials that expire soon; in this account, where one is named.
fn forwarded(url: &str, request: &Request, account: Option<&str>) -> ResponseTemplate {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut asked = agent.post(url);
    for (name, value) in &request.headers {
        if !["host", "content-length"].contains(&name.as_str()) {
            asked = asked.header(name.as_str(), value.to_str().unwrap());
        }
    }
    if let Some(account) = account {
        asked = asked.header("x-moto-account-id", account);
    }
    let mut answer = asked.send(&request.body).unwrap();
    let mut text = answer.body_mut().read_to_string().unwrap();
    let of_large = text.contains(&format!("<Arn>arn:aws:sts::{}:", LARGE.0));
    if let Some((before, rest)) = text.split_once("<Expiration>").filter(|_| of_large) {
        let soon = jiff::Timestamp::now() + Duration::from_secs(6);
        text = format!("{before}<Expiration>{soon}</Expiration>{}", rest.split_once("</Expiration>").unwrap().1);
    }
    ResponseTemplate::new(answer.status().as_u16()).set_body_string(text)
}

/// In one audit: an account of one's own, one with a key, one whose role expires half way, one that denies its role and one that STS throttles.
#[test]
fn several_accounts_of_moto_are_one_report_whatever_becomes_of_some_roles() {
    let moto = Moto::start();
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    moto.stream(ACCOUNT, "scratch-0");
    for name in ["orders-0", "orders-1"] {
        moto.stream(OTHER, name);
    }
    let key = moto.call(OTHER, "TrentService.CreateKey", &json!({"KeyUsage": "ENCRYPT_DECRYPT"}))["KeyMetadata"].take();
    let alias = json!({"AliasName": "alias/orders", "TargetKeyId": key["KeyId"]});
    moto.call(OTHER, "TrentService.CreateAlias", &alias);
    let encryption = json!({"StreamName": "orders-0", "EncryptionType": "KMS", "KeyId": key["Arn"]});
    moto.call(OTHER, "Kinesis_20131202.StartStreamEncryption", &encryption);
    let names: Vec<String> = (0..LARGE.1).map(|number| format!("scratch-{number:02}")).collect();
    names.iter().for_each(|name| moto.stream(LARGE.0, name));
    for account in [DENIES, THROTTLES] {
        moto.stream(account, "scratch-hidden");
    }

    let mut command = command(&policy, &["--region", REGION, "--rate", "4", "--json"]);
    let all = [THROTTLES, LARGE.0, DENIES, OTHER, ACCOUNT].join(",");
    command.args(["--accounts", &all, "--role", "audit"]);
    command.env_remove("ACCOUNT_ID").env("AWS_ENDPOINT_URL", moto.layer.uri());
    let (code, out, err) = ran(&mut command);
    let expected = format!(
        "error: account {THROTTLES}: sts:AssumeRole failed (Throttling): Rate exceeded\n\
         help: this may be temporary: try again\n\
         error: account {DENIES}: sts:AssumeRole failed (AccessDenied): not authorized\n\
         help: sts:AssumeRole needs a statement in a policy of the caller, and the role has to trust the caller: `streamseal audit \
         --print-iam` prints both\n"
    );
    assert_eq!((code, err.as_str()), (1, expected.as_str()), "{out}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let rows: BTreeMap<&str, [&str; 2]> = found["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["arn"].as_str().unwrap(), ["compliance", "reason"].map(|field| row[field].as_str().unwrap())))
        .collect();
    let arn = |account: &str, name: &str| format!("arn:aws:kinesis:{REGION}:{account}:stream/{name}");
    let exempt = |account, name| (arn(account, name), ["NOT_APPLICABLE", "exempt"]);
    let mut expected: BTreeMap<String, [&str; 2]> = names.iter().map(|name| exempt(LARGE.0, name)).collect();
    expected.extend([
        exempt(ACCOUNT, "scratch-0"),
        (arn(OTHER, "orders-0"), ["COMPLIANT", "right-key"]),
        (arn(OTHER, "orders-1"), ["NON_COMPLIANT", "not-encrypted"]),
    ]);
    assert_eq!(rows, expected.iter().map(|(arn, said)| (arn.as_str(), *said)).collect());
    let assumed = moto.assumed.lock().unwrap();
    let of = |account: &str| assumed.iter().filter(|of| *of == account).count();
    assert!(of(LARGE.0) > 1 && of(OTHER) == 1 && of(ACCOUNT) == 0, "{assumed:?}");
    assert_eq!(found["calls"]["sts:AssumeRole"], assumed.len() + 2, "each account that failed once");
}
