//! `streamseal check --terraform PLAN` and `--cloudformation TEMPLATE`: what the policy says of the streams that they would make.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use saphyr::{LoadableYamlNode, Scalar, ScanError, Yaml};
use serde_json::{Value, json};

use crate::cli::arguments::{Globals, options, repeated, switch};
use crate::cli::context::{given_account, given_region, read_file, source_of_account};
use crate::cli::exit::Exit;
use crate::cli::heading::{self, offline_document};
use crate::cli::output::{BAD, GOOD, ODD, Stop, result, styled};
use crate::cli::settings::source_of_region;
use crate::domain::arn::Scope;
use crate::domain::evidence::v1::ExemptionWire;
use crate::domain::planned::judge::{Judged, Place, judge};
use crate::domain::planned::{PlannedStream, cloudformation, terraform};
use crate::domain::policy::Policy;
use crate::domain::text::EventText;
use crate::domain::verdict::Compliance;

/// The plans to judge.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArguments {
    /// Check the streams that a Terraform or OpenTofu plan would create or change: a file that `terraform show -json
    /// PLAN` writes. May be repeated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["test", "resolve"])]
    terraform: Vec<PathBuf>,
    /// Check the streams that a CloudFormation template declares, in JSON or YAML. May be repeated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["test", "resolve"])]
    cloudformation: Vec<PathBuf>,
    /// The format of the result for `--terraform` and `--cloudformation`
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
}

/// A form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document, as with --json
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// GitHub Actions workflow commands, which become annotations
    Github,
}

/// The streams of one file.
struct Judgement {
    file: String,
    streams: Vec<Judged>,
}

impl PlanArguments {
    /// Whether there is a plan to judge.
    pub(super) fn is_given(&self) -> bool {
        !self.terraform.is_empty() || !self.cloudformation.is_empty()
    }

    /// Whether there is a form and nothing to print in it.
    pub(super) fn has_only_a_format(&self) -> bool {
        self.format.is_some() && !self.is_given()
    }
}

/// Judges all of them. Exit code 3: a stream would not be as its rule says.
pub(super) fn run(
    (named, policy): (&str, &Policy),
    arguments: &PlanArguments,
    globals: &Globals,
    strict: bool,
) -> Result<Exit, Stop> {
    let format = match (arguments.format, globals.json) {
        (None | Some(Format::Json), true) => Format::Json,
        (Some(_), true) => return Err(Stop::usage("use either --json or --format")),
        (format, false) => format.unwrap_or(Format::Text),
    };
    let place = place(globals)?;
    let now = Timestamp::now();
    let mut files = Vec::new();
    for (paths, read) in [
        (&arguments.terraform, terraform_plan as fn(&str) -> Result<Vec<PlannedStream>, String>),
        (&arguments.cloudformation, cloudformation_template),
    ] {
        for path in paths {
            let streams = read(&read_file(path)?).map_err(|why| Stop::failure(format!("{}: {why}", path.display())))?;
            let streams = streams.into_iter().map(|stream| judge(policy, stream, &place, now)).collect();
            files.push(Judgement { file: name(path), streams });
        }
    }
    match format {
        Format::Text => print_text(&header(named, policy, &place), &files),
        Format::Json => result(as_json(policy, &files)),
        Format::Sarif => result(as_sarif(&files)),
        Format::Github => print_github(&files),
    }
    let is = |compliance| files.iter().flat_map(|file| &file.streams).any(|judged| judged.compliance == compliance);
    let exit = if is(Compliance::NonCompliant) {
        Exit::NonCompliant
    } else if strict && is(Compliance::InsufficientData) {
        Exit::Failure
    } else {
        Exit::Compliant
    };
    if format == Format::Text {
        result(next(named, arguments, globals, strict, exit));
    }
    Ok(exit)
}

/// Whose streams they will be, as far as that is known, and by what they are judged.
fn header(named: &str, policy: &Policy, place: &Place) -> String {
    let known = |what: &Option<String>| what.clone().unwrap_or_else(|| "unknown".to_owned());
    let (account, region) = (known(&place.account), known(&place.region));
    format!("account {account}, Region {region}, policy {named} ({})", policy.digest)
}

/// The command that comes next.
fn next(named: &str, arguments: &PlanArguments, globals: &Globals, strict: bool, exit: Exit) -> String {
    let policy = named.strip_prefix("file:").unwrap_or(named);
    let globals = Globals { policy: Some(policy.to_owned()), ..globals.clone() };
    if exit == Exit::Compliant {
        return heading::next(&repeated(&globals), "audit", "compares every stream with the policy");
    }
    let options =
        [("terraform", &arguments.terraform), ("cloudformation", &arguments.cloudformation)].map(|(flag, paths)| {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            options(flag, &paths)
        });
    let command = format!("check{}{}", options.concat(), switch("strict", strict));
    heading::next(&repeated(&globals), &command, "checks again what you changed")
}

/// Where the streams are, as far as the arguments and the environment say so.
fn place(globals: &Globals) -> Result<Place, Stop> {
    if globals.region.len() > 1 {
        return Err(Stop::usage("--region is given more than once; a plan has streams of one Region"));
    }
    let (account, region) = (given_account(globals), given_region(globals));
    if let Some(account) = account.as_ref().filter(|account| !Scope::is_account(account)) {
        let from = source_of_account(globals);
        return Err(Stop::usage(format!("{from}: `{}` is not an account ID (12 digits)", EventText::new(account))));
    }
    if let Some(region) = region.as_ref().filter(|region| !Scope::is_region(region)) {
        let from = source_of_region(globals);
        return Err(Stop::usage(format!("{from}: `{}` is not a Region", EventText::new(region))));
    }
    Ok(Place { account, region })
}

/// With `/`, as the forms of the web have it.
fn name(path: &Path) -> String {
    path.display().to_string().replace('\\', "/")
}

fn terraform_plan(text: &str) -> Result<Vec<PlannedStream>, String> {
    let plan = serde_json::from_str(text)
        .map_err(|error| format!("invalid JSON: {error}; create the file with `terraform show -json PLAN`"))?;
    terraform::read(&plan)
}

fn cloudformation_template(text: &str) -> Result<Vec<PlannedStream>, String> {
    let template = match serde_json::from_str(text) {
        Ok(template) => template,
        Err(_) => yaml(text).map_err(|error| {
            let at = error.marker();
            format!("{}:{}: not YAML: {}", at.line(), at.col() + 1, error.info())
        })?,
    };
    cloudformation::read(&template)
}

/// The first document, each tag as an object of one member: `!Ref A` is `{"!Ref": "A"}`.
fn yaml(text: &str) -> Result<Value, ScanError> {
    Ok(Yaml::load_from_str(text)?.first().map_or(Value::Null, tree))
}

fn tree(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Mapping(members) => {
            members.iter().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), tree(value)))).collect()
        }
        Yaml::Sequence(items) => items.iter().map(tree).collect(),
        Yaml::Tagged(tag, inner) => json!({ tag.to_string(): tree(inner) }),
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Value(Scalar::Null) | Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => Value::Null,
    }
}

fn print_text(header: &str, files: &[Judgement]) {
    result(header);
    for Judgement { file, streams } in files {
        for judged in streams {
            let style = match judged.compliance {
                Compliance::Compliant | Compliance::NotApplicable => GOOD,
                Compliance::NonCompliant => BAD,
                Compliance::InsufficientData => ODD,
            };
            let Judged { stream, rule, reason, detail, .. } = judged;
            let rule = rule.as_ref().map_or_else(String::new, |rule| format!(" (rule `{rule}`)"));
            let word = styled(style, format!("{reason:<16}"));
            result(format_args!("{word} {} ({}): {detail}{rule}", stream.address, stream.change.as_str()));
        }
        let count = |compliance| streams.iter().filter(|judged| judged.compliance == compliance).count();
        let s = if streams.len() == 1 { "" } else { "s" };
        result(format_args!(
            "{file}: {} stream{s}: {} compliant, {} not compliant, {} not applicable, {} unknown",
            streams.len(),
            count(Compliance::Compliant),
            count(Compliance::NonCompliant),
            count(Compliance::NotApplicable),
            count(Compliance::InsufficientData)
        ));
    }
}

fn as_json(policy: &Policy, files: &[Judgement]) -> Value {
    let files: Vec<Value> =
        files
            .iter()
            .map(|Judgement { file, streams }| {
                let streams: Vec<Value> = streams.iter().map(|judged| {
            let Judged { stream, rule, tags, exemption, desired, compliance, reason, detail } = judged;
            json!({
                "address": stream.address, "change": stream.change.as_str(), "name": stream.name, "rule": rule,
                "desired_key": desired, "compliance": compliance.as_str(), "reason": reason, "detail": detail, "tags": tags,
                "exemption": exemption.as_ref().map(ExemptionWire::from),
            })
        }).collect();
                json!({"file": file, "streams": streams})
            })
            .collect();
    offline_document("streamseal.planned/v1", json!({"policy_digest": policy.digest, "files": files}))
}

/// Those that somebody has to see, with the level that SARIF and GitHub share.
fn findings(files: &[Judgement]) -> impl Iterator<Item = (&str, &Judged, &'static str)> {
    files.iter().flat_map(|Judgement { file, streams }| {
        streams.iter().filter_map(move |judged| match judged.compliance {
            Compliance::NonCompliant => Some((file.as_str(), judged, "error")),
            Compliance::InsufficientData => Some((file.as_str(), judged, "warning")),
            Compliance::Compliant | Compliance::NotApplicable => None,
        })
    })
}

fn as_sarif(files: &[Judgement]) -> Value {
    let results: Vec<Value> = findings(files)
        .map(|(file, judged, level)| {
            let Judged { stream, reason, detail, .. } = judged;
            json!({
                "ruleId": reason, "level": level, "message": {"text": format!("{}: {detail}", stream.address)},
                "locations": [{
                    "physicalLocation": {"artifactLocation": {"uri": file}},
                    "logicalLocations": [{"fullyQualifiedName": stream.address, "kind": "resource"}],
                }],
            })
        })
        .collect();
    let mut ids: Vec<&str> = findings(files).map(|(_, judged, _)| judged.reason).collect();
    ids.sort_unstable();
    ids.dedup();
    let rules: Vec<Value> = ids.into_iter().map(|id| json!({"id": id})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "streamseal", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results,
        }],
    })
}

/// Workflow commands of GitHub Actions.
fn print_github(files: &[Judgement]) {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    for (file, Judged { stream, reason, detail, .. }, level) in findings(files) {
        let (file, title) = (property(file), property(reason));
        result(format_args!("::{level} file={file},title={title}::{}", data(&format!("{}: {detail}", stream.address))));
    }
}
